"""The cue words of the persuasion acts, by act, and the remarks on them in `acts.py`.

A cue matches in a sentence in lower case, at the beginning of a word.
"""

import re
from typing import Final


def _any(*cues: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(cues)})")


_GIVE: Final = r"(?:donat\w*|contribut\w*|giv(?:e|ing)|chip(?:ping)? in|pledg\w*|spar(?:e|ing)|pitch(?:ing)? in)\b"
_GIFT: Final = r"(?:donations?|contributions?|gifts?|money)\b"
_COIN: Final = r"(?:cents?|penn(?:y|ies)|dimes?|nickels?|quarters?|coins?|dollars?|bucks?)\b"
_NAME: Final = r"(?:save the child\w*|(?:the|this|our|that) (?:charity|organi[sz]ation|cause))\b"
_KIN: Final = (
    r"(?:son|daughter|kids?|child|children|mother|mom|mum|dad|father|parents|brother|sister|family|friends?|wife|"
    r"husband|nieces?|nephews?|grand\w+|neighbou?rs?|cousins?|students?|teacher|aunt|uncle)\b"
)

CUES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "ask-donation-amount",
        _any(
            r"(?<!decide )(?<!choose )(?<!determine )how (?:much|many (?:cents|dollars))\b(?=.*\byou\b)"
            r"(?!.*(?:typically|usually|normally|spend|waste|know|on average|in a year|every year|each year|donated))"
            r"(?=.*(?:donat|giv|contribut|pledg|spare|offer|put|help with|thinkin))",
            r"(?:percentage|share|portion) of [^?]*\b(?:are|would|will|do) you\b[^?]*\?",
            r"(?:what|which) (?:amount|sum|size)\b(?=.*\byou\b)",
            r"(?:amount|number) (?:do|did|would|are|were|will) you\b",
            r"(?:have|had) (?:an amount|a (?:number|sum|figure)) in mind",
            rf"how much\b[^?]*\byour? (?:[a-z]+ )*{_GIFT}",
        ),
    ),
    (
        "ask-donate-more",
        _any(
            rf"(?:{_GIVE}|add|go|do|stretch(?: to)?)(?: \w+){{0,3}} (?:(?:a )?(?:little |bit |"
            rf"tiny bit )*(?:more|higher)|extra)"
            r"\b(?! (?:info|about|than (?!that|this)))(?=.*\?)",
            r"(?:increas|rais|doubl|tripl)(?:e|ing) (?:your|that|the|it)\b",
            r"(?:you (?:can|could) (?:surely |definitely )?(?:do|give|spare|donate|afford) (?:a (?:little|"
            r"bit) )*more\b)",
        ),
    ),
    (
        "ask-not-donate-reason",
        _any(
            r"why (?:not\?|(?:do|wo|would|are|ca|could)n['o]?t you|would you not|do you not|are you (?:not|un|"
            r"hesita|reluct))",
            r"what(?:'s| is| was)? (?:hold|stop|keep|prevent)\w* you",
            r"(?:the|your|any|a) (?:main |particular )?reasons?\b.*(?:not|n't|against|hesita)\w*",
        ),
    ),
    (
        "confirm-donation",
        _any(
            r"(?:to|i can|may i|please|you) (?:re)?confirm\b",
            r"(?:have|got|put) you down for",
            r"count on you for (?:a |that |your )?\$?\d",
            r"(?:is that|that is|am i) (?:right|correct)\?",
            rf"so,? (?:then )?you(?:'re| are|'ll| will|'d| would)[^?.]*{_GIVE}[^?.]*(?:\$|\d|{_COIN})",
        ),
    ),
    (
        "proposition-of-donation",
        _any(
            r"(?:would|will|wo|could|can|might|are|were|is(?! (?:keep|hold|stop|prevent))|if|may|shall) "
            r"(?:[a-z']+ ){0,2}?you\b"
            r"(?! (?:know|think (?:people|they|it|that|of)|ever|hear|usually|often|already|currently|hap|get|feel|"
            r"like to (?:know|hear|learn)|interested in (?:hear|learn|know)))"
            rf"[^?]*?\b(?:{_GIVE}|(?:a|any|some|your) (?:\w+ )?{_GIFT}|afford|"
            r"help(?:ing)? (?:out|save|these|those|the|them|us|some|children|kids)\b)[^?]*\?",
            r"(?:do|don't) you (?:(?:also |still )?(?:want|wish|plan|intend|care|feel like|think you(?:'d|'ll|"
            r" will| would| could| can|"
            rf" might)?)\b|have (?:any|some)thing to)[^?]*\b(?:{_GIVE}|{_GIFT}|help)[^?]*\?",
            rf"(?:it would|it'd|would) (?:be|mean|help)[^?]* if you\b[^?]*(?:{_GIVE}|{_GIFT}|help)",
            r"^(?:so |and |just |then |now )*(?:donate|give) (?:to|a|any|some|what|whatever|something|\$|your|"
            r"now|today)",
            rf"(?:suggest|recommend|propose|interest you in)\b[^?]*(?:{_GIVE}|{_GIFT}|\$ ?\d|\d+ ?(?:\$|cents?|"
            rf"dollars?))",
            r"your commitment to\b|you (?:want to |wanna |gonna |going to |like to )(?:join me|donate|chip in|"
            r"help out)[^?]*\?",
            rf"(?:please|kindly) (?:\w+ )?(?:{_GIVE}|consider|help|join|make)",
            rf"consider(?:ed|ing)? (?:\w+ ){{0,2}}?(?:{_GIVE}|{_GIFT}|help|support)",
            r"(?:would you (?:like|love|be (?:willing|interested|able|open)|consider|please)|"
            r"are you (?:willing|interested|able))\b"
            rf"(?! (?:to|in) (?:know|hear|learn))[^?]*\b(?:{_GIVE}|{_GIFT})",
            rf"(?<!not )(?<!n't )(?:ask|like|love|want|urge|encourage|invite|convince|persuade|wish|need|get) "
            rf"(?:for )?you (?:to|do)\b[^?]*(?:{_GIVE}|help|support|consider)",
            rf"(?:hop(?:e|ing)|wonder(?:ing)?|ask(?:ing)?|see|know|curious)(?: you)? (?:if |that |"
            rf"whether )?(?:that )?you(?:'d|'ll)?\b"
            rf"[^?]*\b(?:{_GIVE}|(?:a|any|some) (?:\w+ )?{_GIFT}|chang\w+ your mind|help (?:out|them|us))",
            r"ask(?:ing)? (?:you )?for (?:a|your|some|any) (?:\w+ )?(?:donation|contribution|gift)\b",
            rf"join (?:me|us)\b[^?]*(?:{_GIVE}|help)",
            r"count on (?:you|your)\b(?!r? for (?:a |that )?\$?\d)",
            rf"(?:how|what) (?:about|would you (?:say|think) (?:to|about)|(?:do|"
            rf"would) you feel about)[^?]*(?:{_GIVE}|{_GIFT}|\$ ?\d|\d+ ?(?:\$|cents?|dollars?))",
            rf"(?:why (?:not|don't (?:we|you))|let's|shall we)\b[^?]*{_GIVE}",
            r"(?:a (?:part|portion|bit|share)|some|any|all|half) of your (?:\w+ )?(?:payment|earnings|pay|"
            r"reward|bonus)\b[^?]*\?",
            r"(?:something|is this something|that something) you(?:'d| would| could| might)\b[^?]*\?",
            rf"(?:can|could|may) (?:i|we|they|the (?:kids|children)|{_NAME}) (?:\w+ )?(?:count|interest|sign|"
            rf"put|get|have|ask (?:you )?(?:for|to))\b[^?]*(?:you|{_GIVE}|{_GIFT})[^?]*\?",
            rf"interest(?:ed)? (?:you )?in (?:making|{_GIVE})[^?]*\?",
        ),
    ),
    (
        "foot-in-the-door",
        _any(
            rf"even (?:if (?:it's|it is|just|only)|(?:just |only )?(?:an? )?(?:very |really |the )?(?:small\w*|"
            rf"little|tiny|few|couple|bit|modest|single|\$|\d|one|two|five|ten|fifty|{_COIN}))",
            r"(?:every|each|any) (?:single )?(?:little|small|bit|cent|penny|dime|dollar|amount (?:helps|counts|"
            r"matters|would|will|is|you|makes|big|at all|no matter|can))",
            r"little bit (?:can |will |really |would )*(?:helps?|counts?|goes)",
            r"(?:small|tiny|little|modest|smallest|low) (?:amounts?|donations?|gifts?|sums?|contributions?|"
            r"portion|part|bit|steps?|change)\b",
            rf"(?:as little as|only|just|few as|maybe|at least) (?:an? |\$ ?|one |five |ten |a few |"
            rf"\d+ ?)(?:\.?\d+|{_COIN})",
            rf"(?:a )?(?:few|couple)(?: of)? {_COIN}",
            r"no (?:amount|gift|donation|sum) is too (?:small|little)",
            r"(?:goes?|going|go) (?:such )?a (?:very |really |pretty )?long way",
            r"adds? up\b|adding up",
            r"(?:do|does|would|wo|need)(?:n't| not) (?:have|need) (?:to )?(?:be|give|donate|"
            r"cost)? ?(?:very )?(?:much|a lot|big|large)",
            r"not asking (?:for|you).*(?:lot|much|large)",
            r"(?:big or small|small or large|large or small|spare change|pocket change|better than nothing|"
            r"(?:anything|everything|every (?:donation|gift|bit)|any (?:donation|gift|bit)) (?:\w+ )?(?:helps?|"
            r"counts?))",
        ),
    ),
    (
        "donation-information",
        _any(
            r"deduct\w*|subtract\w*|withh\w+",
            r"(?:tak\w+|com\w+) (?:directly |straight |right )?(?:out of|off|from) (?:your|the|"
            r"our) (?:\w+ )?(?:pay\w*|earning\w*|reward)",
            r"research (?:team|group)|researchers?\b",
            r"(?:choose|pick|select|give|donate|decide(?: on)?|type|enter|specify|be) (?:any|an|the|whatever|"
            r"however|how|what|anything)(?: \w+)? (?:amount|much|sum)?\b(?=[^?]*(?:amount|much|from|between|"
            r"up to|you (?:want|like|wish)))",
            r"(?:any(?:thing|where)?|amount)(?: \w+){0,4}? (?:from|between|up to|to) (?:\$|zero|\d|nothing|all|"
            r"the full)",
            r"(?:from|between) (?:\$ ?0|0 ?\$|0 |zero|nothing|a cent|1 cent)",
            r"(?:the end|end) of (?:this|the|our) (?:chat|conversation|task|survey|hit|session|talk)",
            rf"(?:your|the|all|any|each|these) {_GIFT} (?:will|would|can|could|is|are|get|gets|goes|"
            rf"go)\b[^?]*(?:sent|collect|process|record|direct|charge|anonym|secure|transfer|pass|made)",
            r"up to (?:you|your (?:whole|full|entire|task)|\$ ?\d|the full)",
            r"(?:minimum|maximum) (?:amount|donation|gift|is)\b",
            r"(?:task|hit|survey|your) payment\b(?!.*\?)",
            rf"you (?:can|could|may|will|are able to|get to|have the (?:option|chance|"
            rf"opportunity) to)(?: \w+){{0,2}} {_GIVE}(?!.*\?)",
            r"(?:opportunity|option|chance|ways?) to (?:\w+ )?(?:donate|give|contribute)",
            rf"(?:accepts?|takes?|collects?) (?:all |any |the |your |online )*{_GIFT}",
            r"tax[- ]deduct\w+|paypal|credit card|(?:donate|give|donations?) (?:online|through|via|on (?:the|"
            r"their) (?:web)?site)",
        ),
    ),
    (
        "source-related-inquiry",
        _any(
            rf"(?:heard (?:of|about|anything)|(?:familiar|acquainted) with|(?:aware|know) (?:much |anything |"
            rf"a lot |a little |something )?(?:of|about) (?:\w+ )?{_NAME}).*\?",
            r"(?:know|aware|heard|familiar).*save the child.*\?",
            rf"(?:know|tell me) what {_NAME} (?:is|does).*\?",
            r"heard of (?:it|them|us|this|that)\b.*\?",
        ),
    ),
    (
        "task-related-inquiry",
        _any(
            r"(?:have|got|spare) (?:a |some |any |few )*(?:moment|minute|second|time|questions?|"
            r"other questions?).*\?",
            r"(?:other |further |more |any )+(?:questions?|concerns?|info\w*)\b.*\?",
            r"(?:did|do) you (?:know|realize|realise) (?:that|how|what|there|about (?:the|how)).*\?",
            r"what (?:do|are|is|would|did) (?:you|your) (?:\w+ )?(?:think|thoughts?|opinion|feelings?|feel|"
            r"make)\b.*\?",
            r"(?:do|don't) you (?:think|feel|agree|believe|care)\b.*\?",
            r"(?:like|love|want|care|mind|interested)(?: \w+){0,2} (?:know|knowing|hear|hearing|learn|learning|"
            r"tell|telling|talk|chat|read|see)\w*\b.*\?",
            r"(?:can|could|may|might) i (?:\w+ )?(?:ask|tell|share|talk|explain|give you).*\?",
            r"(?:anything|something) (?:else )?(?:i can|you(?:'d| would) like|i could|you want).*\?",
            r"how (?:do|did|would) you feel about (?:the |helping |children|charit).*\?",
        ),
    ),
    (
        "personal-related-inquiry",
        _any(
            r"(?:have|had|did) you (?:ever |already |previously |recently |also |or your \w+ )*(?:donate\w*|"
            r"given|give|support\w*|volunteer\w*|help\w*|contribut\w*|been|work\w*|sponsor\w*|done|made|thought|"
            r"considered|travel\w*|see|seen|use|used)\b.*\?",
            r"do you (?:ever |usually |often |normally |regularly |typically |currently |already |also |"
            r"personally |sometimes |generally )*(?:have (?:any |a )?(?:children|kids|family|pets|favou?rite|"
            r"charit\w*|little|young|preference|child|cause|siblings|nieces)|like|happen to|donate|give|support|"
            r"volunteer|contribute|live|work|enjoy|help|follow|prefer|do any|make)\b.*\?",
            r"(?:what|which|any) (?:other |kinds? of |sorts? of |types? of |particular |specific |"
            r"children's )*(?:charit\w+|causes?|organi[sz]ations?|non-?profits?)\b.*\byou\b.*\?",
            r"are you (?:a (?:parent|student|mother|father|regular)|involved|married|from|currently (?:involved|"
            r"donat|giving|support)|passionate|someone who).*\?",
            r"(?:your (?:favou?rite|kids|children|family|own|experience|job)|where (?:are you|do you)|"
            r"who do you)\b.*\?",
            r"(?:children|kids|family) of your own.*\?",
        ),
    ),
    (
        "emotion-appeal",
        _any(
            r"violen\w+|kill\w*|injur\w+|wars?\b|war-?torn|bomb\w*|refugee\w*|starv\w+|hungry|go(?:ing)? hungry|"
            r"dying|dies?\b|died|deaths?\b|suffer\w*|trag\w+|"
            r"terribl\w+|awful|horr\w+|scar(?:ed|y)|afraid|fear\w*|pain\w*|hopeless\w*|homeless|orphan\w*|"
            r"abus\w+|exploit\w+|helpless\w*|vulnerab\w+|traffick\w*|syria\w*|"
            r"guilt\w*|sad\b|sadden\w*|saddest|sadly|"
            r"(?<!good )(?<!big )(?<!kind )(?<!warm )heart(?:s|break\w*|broken|warming|wrenching|ache)?\b"
            r"(?! (?:disease|of gold|attack))|tears?\b|cry(?:ing)?\b|innocent|desperat\w+|threats?\b|unthinkable|"
            r"smil(?:e|es|ing)|feel(?:s)? (?:so |very |really |pretty )?(?:good|great|bad|better|happy|proud)|"
            r"imagine (?:being|if|how|what|your|a|having)|cold and|alone at night|miser\w+|wish(?:es)? (?:to be|"
            r"they|for)|precious|dream(?:s|ing)?\b",
        ),
    ),
    (
        "personal-story",
        _any(
            r"when i was\b|i (?:once|remember|grew up|used to|met|visited|recall|saw|knew|worked|read|watched|"
            r"learned about)\b",
            rf"(?:a friend of mine|years ago|growing up|as a (?:kid|child)|changed (?:me|my life)|"
            rf"my own childhood|my (?:\w+ )?{_KIN}(?! (?:and i (?:will|are)|'s? payment))[^?]*)(?!.*\?)",
            r"i(?:'ve| have) (?:been|seen|worked|met|volunteered|a (?:friend|child|son|daughter|niece|nephew))\b",
        ),
    ),
    (
        "self-modeling",
        _any(
            rf"i(?:'m| am|'ve| have|'ll| will|'d| would| plan| intend| always| already| usually| just| also|"
            rf" personally| myself| do| try| like| want| too| recently| often| decided| hope| can| gladly)*\b"
            rf"(?: (?:to|on|going|about|planning|thinking|of|be|been|making|make|already|also|just|always|"
            rf"personally|decided|gladly|happy|myself|today|a|small|gladly|regularly|willing|in|the|past|try|"
            rf"giving|put))*? ?(?:{_GIVE}|donation|gave|given|match\w*)(?!.*\byou (?:to|will|would|like)\b)",
            r"match(?:ing)? (?:your|whatever you|any|what you)",
            r"(?:of|from|all|half|part) my (?:own )?(?:\w+ )?(?:payment|earnings|pay|money|income|reward|bonus|"
            r"salary|paycheck)",
            r"my (?:own )?(?:donation|gift|contribution|share|part)\b",
            r"i(?:'m| am) (?:in|doing|putting|setting aside)\b[^?]*(?:too|as well|myself|cents?|dollars?|\$|"
            r"part|half)",
        ),
    ),
    (
        "credibility-appeal",
        _any(
            r"(?:organi[sz]ation|charity|group|ngo|non-?profit|foundation)s?\b(?!.*\?)(?=.*\b(?:is|are|has|have|"
            r"was|that|which|helps?|provid\w+|works?|does|do|promot\w+|who|for|runs?|offers?)\b)",
            rf"{_NAME} (?:also |actually |really |currently |mainly |even |fund )*(?:is|has|was|works?|helps?|"
            rf"operates?|provid\w*|focus\w*|supports?|runs?|does|uses?|offers?|gives?|promot\w*|tries|fights?|"
            rf"makes?|reach\w*|aims?|ensur\w*|strives?|keeps?|publish\w*|spends?|trains?|brings?|protects?|"
            rf"responds?|needs|started|began|wants|partners?|distribut\w*)\b(?!.*\?)",
            r"they(?:'re|'ve| are| have)? (?:also |actually |really |currently |mainly |even |do |all |can |"
            r"will |only |been |always )*(?:help\w*|provid\w*|work\w*|support\w*|an?|offer\w*|operat\w*|giv\w*|"
            r"promot\w*|focus\w*|use|serv\w*|ensur\w*|fight\w*|deliver\w*|reach\w*|run|partner\w*|respond\w*|"
            r"protect\w*|strive|international|legit\w*|reputable|known|rated|based|top|send|feed|teach|spend|"
            r"do (?:a|so|such|great|good|amazing|wonderful)|accept|make)\b(?!.*\?)",
            r"non-?profit|non-? ?governmental|ngo\b|(?:developing|many|other|different|over|\d+|foreign|poor|"
            r"several) (?:\d+ )?countries|around the (?:world|globe)|worldwide|all over the world|"
            r"child(?:ren)?'?s'? rights",
            r"founded|established in|since 19\d\d|(?:over|more than|nearly|about|for) (?:a (?:hundred|century)|"
            r"a century|\d+|one hundred)(?: \w+)? years|a century|(?:19|20)\d\d (?:report|audit)",
            r"reput\w+|legit\w*|trust(?:ed|worthy)|transparen\w*|accredit\w*|(?:highly|well|top) (?:rated|"
            r"regarded|respected|known)|ratings?\b|charity ?navigator|charitywatch|annual report|accountab\w*|"
            r"audit\w*",
            r"relief\b|(?:health ?care|nutrition|education|schooling|clean water|emergency|medical|medicine|"
            r"vaccin\w*|shelter|literacy)\b(?!.*\?)|on the ground",
            r"(?:percent|%).*(?:of|goes|directly)|of every dollar|(?:goes|go|going) (?:directly|straight|"
            r"right|back) (?:to|into|toward)",
            r"www\.|https?:|savethechildren|their (?:web ?site|mission|work|programs?|goal|efforts|reports?)\b|"
            r"(?:the|our|my|its) (?:web ?site|mission|staff|programs)\b|\burl\b|link\b",
        ),
    ),
    (
        "logical-appeal",
        _any(
            r"(?:mak\w+|made) (?:such |quite )?(?:an? )?(?:\w+ )?(?:difference|impact|change|world of)|(?:big|"
            r"huge|real|positive|great|lasting|much) (?:difference|impact|change)",
            r"if (?:everyone|we all|everybody|each|every|all of us|more people|enough|people|a (?:hundred|thousand))",
            r"(?:can|could|would|will|may) (?:\w+ )?(?:buy|feed|save|pay for|provide|cover|fund|change|help|"
            r"go toward|go towards|improve|benefit|ensure)\b(?!.*\?)",
            r"(?:cost|price) of a\b|cup of coffee|candy bar|cost(?:s)? (?:us |you |less|very little|so little)|"
            r"(?:means|mean) (?:so much|a lot|everything|more to)|won't (?:even )?(?:miss|notice|hurt)",
            rf"(?:your|our|these|this|the) (?:help|{_GIFT}|kindness|support|generosity) (?:can|could|would|will|"
            rf"makes|help|helps|is|goes|means|really)",
            r"important (?:that|to|for|because|cause)|because (?:they|it|the|we|every|without|children)|"
            r"that(?:'s| is) why|reason (?:why|to)|in the long run|after all|makes sense to|simple|eas(?:y|ier|"
            r"iest)|worth(?:y|while| it)|effective\w*|efficien\w*",
            r"better (?:future|world|life|lives|place|off|chance|start)|our future|the future|next generation|"
            r"future generations?|chance (?:at|to|for|in)\b",
            r"(?:in|of|desperate) need\b|(?:they|children|kids|people|who|many|really) need (?:\w+ )?(?:help|"
            r"support|our|your|us|it|food|food)|lives? of|save (?:a )?li(?:fe|ves)|help (?:so many|those|these|"
            r"them|a child|children|kids|others|people|save)\b(?!.*\?)",
        ),
    ),
    (
        "greeting",
        _any(
            r"(?:hi|hello|hey|heya|howdy|greetings|hiya|(?<!a )good (?:morning|afternoon|evening|day))\b(?=\W|"
            r"$)(?! (?:to all|and goodbye))",
            r"how (?:are|r) (?:you|u|things)\b|how(?:'s| is) (?:it|everything|your (?:day|morning|evening|"
            r"week\w*|afternoon)|life|things)|what's up\b",
            r"(?:nice|good|great|pleasure|lovely) to meet you|i(?:'m| am)(?: \w+)? (?:doing )?(?:well|good|fine|"
            r"great|okay|alright)\b(?! with)(?=[^a-z]|,? (?:thank|and you|how|today))",
            r"(?:hope|trust) you(?:'re| are) (?:doing |having )|how (?:have you been|you doing)",
        ),
    ),
    (
        "closing",
        _any(
            r"have (?:an? )?(?:very |really |truly )?(?:\w+ )?(?:day|night|evening|weekend|afternoon|one|week|"
            r"morning|rest of)\b(?!.*\?)",
            r"(?:good ?bye|bye|bye-bye|take care|farewell|see you|so long|good ?night|until next time)\b",
            r"enjoy (?:the rest|your|the)|rest of your",
            r"(?:nice|good|great|pleasure|lovely|pleasant|wonderful|enjoyed) (?:to (?:talk|chat|speak)|talking|"
            r"chatting|speaking|meeting|to have|our|this)\w*|best (?:wishes|of luck)|i(?:'ll| will) let you go",
        ),
    ),
    (
        "you-are-welcome",
        _any(
            r"you(?:'re| are|r)? (?:very |so |most |quite |always )*welcome|no problem|my pleasure|"
            r"do(?:n't| not) mention it|any ?time!?$"
        ),
    ),
    (
        "thank",
        _any(
            r"(?:thank(?!s? to the|s to (?!you))\w*|thx|grateful|gratitude)\b|"
            r"(?:i|we|they|really|much|greatly|be|is|your|am|very) (?:\w+ )?appreciat\w+|"
            r"appreciate (?:it|your|you|that|the)"
        ),
    ),
    (
        "praise-user",
        _any(
            r"(?:kind|nice|generous|sweet|thoughtful|good|big|great|wonderful|considerate|noble|amazing|awesome|"
            r"caring|lovely) of you|"
            r"(?:you|u)(?:'re|re| are| have| seem| sound| must be| clearly)(?: (?:like|to be|have|so|very|"
            r"really|such|a|an|truly|quite|already|one|the|doing|obviously|clearly|making|extremely|most))* "
            r"(?:kind|generous|nice|wonderful|amazing|great|awesome|good|caring|thoughtful|sweet|smart|"
            r"fantastic|lovely|compassionate|big|best|terrific|angel|hero|excellent|warm|open)\b",
            r"(?:good|big|kind|warm|great|generous|caring) (?:heart|person|soul|hearted|human)|kindness\b|"
            r"your generosity|(?:people|someone|person|more) like (?:you|yourself)\b|(?:very|so|really|"
            r"extremely|quite|such|a|most) (?:a )?(?:generous|admirable|commendable|thoughtful|selfless|"
            r"considerate)\b",
            r"(?:proud of you|well done|good (?:for you|job|work|on you)|great job|bless you|your (?:help|"
            r"kindness|heart|effort|work|support) (?:is|means)|i admire|admirable|respect that)",
            r"(?:great|glad|happy|nice|good|wonderful|awesome|lovely) (?:to (?:hear|know|see)|that) (?:that )?you\b",
        ),
    ),
    ("comment-partner", re.compile(r"\byou (?:seem|sound|look|appear)\b|\byou must (?:be|have)\b|^sounds like you")),
    (
        "acknowledgement",
        re.compile(
            r"\bi (?:\w+ )?(?:agree|understand|hear (?:you|that|what)|see (?:what|your|where|how|that|,|\.|$)|"
            r"get (?:it|that|what)|know (?:what|how) you|respect (?:that|your))"
            r"|\b(?:fair (?:enough|point)|good (?:point|question|idea|to (?:hear|know))|great (?:to hear|"
            r"question|point|idea)|makes (?:\w+ )?sense|same here|me too|you're right|you are right|"
            r"(?:i'm )?glad to hear|happy to hear|sorry to hear|nice to hear)\b"
            r"|^(?:oh,? |well,? |yes,? |ok,? |okay,? |wow,? |i think |yeah,? )*(?:that|it|this|which|what)(?:'s|"
            r"s| is| was| sounds| would be| are)?(?: (?:so|very|really|certainly|definitely|totally|absolutely|"
            r"a|an|such|all|pretty|quite|also|just))* "
            r"(?:true|right|great|good|awesome|wonderful|amazing|nice|cool|fair|fantastic|interesting|excellent|"
            r"valid|sad|understandable|fine|ok|okay|correct|perfect|lovely|neat|admirable|sure|shame|tough|hard|"
            r"important)\b"
            r"|^(?:oh,? |well,? )?(?:absolutely|exactly|definitely|indeed|totally|of course|certainly|right|"
            r"true|sure|ok|okay|alright|great|awesome|wow|perfect|fantastic|wonderful|excellent|amazing|nice|"
            r"cool|oh|i see|yes|yeah|yep|yea|agreed|understood|no worries|very true|sounds (?:good|"
            r"great))(?:[^a-z' ]|$| (?:thing|i (?:agree|understand|see)|indeed|!))"
        ),
    ),
    (
        "positive-to-inquiry",
        re.compile(
            r"^(?:oh,? )?(?:yes|yeah|yep|yup|sure|it does|it is|they do|they are|i do|"
            r"i have)\b[, ]+(?:i|they|it|we|he|she|the|there|that|you|most|all)\b(?! (?:agree|understand|see|"
            r"know what))"
        ),
    ),
    (
        "negative-to-inquiry",
        re.compile(
            r"^(?:oh,? |well,? )?(?:no|nope|not (?:really|yet|that i|at all)|i (?:do not|"
            r"don't|have not|haven't|am not|'m not))\b(?! (?:problem|worries|pressure|amount|matter|need|one|child|"
            r"know))"
        ),
    ),
    (
        "neutral-to-inquiry",
        re.compile(
            r"\bi(?:'m| am) not (?:\w+ )?sure\b|\bit depends\b|\bi (?:don't|"
            r"do not) (?:\w+ )?know\b|\bhard to say\b|\bi(?:'d| would) have to (?:check|look)\b|\bi believe (?:so|"
            r"it is|they)\b"
        ),
    ),
    (
        "off-task",
        _any(
            r"weather|raining|sunny|weekend plans|football|baseball|movies?\b|vacation|the traffic|"
            r"my (?:lunch|dinner|breakfast)|for (?:lunch|dinner)|music\b|video games?|chilly|summer\b|winter\b|"
            r"monday|friday|tv show"
        ),
    ),
)
"""The patterns of every act, in the order of `acts.py`; one match in a sentence is enough."""
