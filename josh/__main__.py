"""`python -m josh` and the installed command `josh`: only this module lets Ctrl-C end the process while it is imported.

Programs import `josh.main`, which leaves their signals alone until its `main` is called.
"""

import sys

from josh.main import end_at_ctrl_c, main

__all__ = ["main"]

end_at_ctrl_c()

if __name__ == "__main__":
    sys.exit(main())
