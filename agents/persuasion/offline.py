"""A persuader without a model: it draws acts as often as people do in Persuasion for Good, and says fixed phrases.

It is mediocre on purpose, so that a search over its turns has something to find. The acts of each turn follow the
corpus's persuaders (Wang et al., ACL 2019, 300 annotated dialogues). It does not plan, and reacts little to replies.
"""

from collections.abc import Collection, Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Final

from josh.roles import BaseJOSHAgent, TurnModel


class OfflinePersuader(BaseJOSHAgent):
    """Draws one to three acts per turn and says a fixed phrase for each.

    At temperature 1 it draws acts as often as they occur in the corpus. A temperature T below 1 sharpens the odds
    (p^(1/T)), one above 1 flattens them. At 0 it takes the likeliest act and the first unused phrase. `recent_actions`
    holds the acts of the turn, in the order in which they are said.

    Attributes:
        variety: how many phrases it knows for each act; None for all of `PHRASES`.
    """

    calls_tools: ClassVar[bool] = False
    variety: ClassVar[int | None] = None

    def step(self, *, model: TurnModel, **_: Any) -> bool:
        """Says one turn. Returns True: the user speaks next."""
        rng = Random(model.draw())
        said = [message.get("content") or "" for message in self.messages if message.get("role") == "assistant"]
        heard = [message.get("content") or "" for message in self.messages if message.get("role") == "user"]
        before = "\n".join(said)
        done = [act for act in ONCE if any(phrase in before for phrase in PHRASES[act])]
        acts = self.choose(len(said), heard[-1] if heard else "", done, model.temperature, rng)
        text = " ".join(_phrase(PHRASES[act][: self.variety], before, model.temperature, rng) for act in acts)
        self.add_message({"role": "assistant", "content": text})
        self.recent_actions = list(acts)
        return True

    def choose(self, turn: int, reply: str, done: Collection[str], temperature: float, rng: Random) -> tuple[str, ...]:
        """Returns the acts of a turn; see `draw_acts`."""
        return draw_acts(turn, reply, done, temperature, rng)


class UniformPersuader(OfflinePersuader):
    """Draws as many acts per turn as people do; all acts that fit are equally likely, in every turn."""

    def choose(self, turn: int, reply: str, done: Collection[str], temperature: float, rng: Random) -> tuple[str, ...]:
        """Returns one to three different acts, drawn uniformly at every temperature."""
        fitting = [act for act in PHRASES if act not in done and _fits(act, reply)]
        drawn = rng.sample(fitting, rng.choices((1, 2, 3), ACTS_PER_TURN)[0])
        return tuple(sorted(drawn, key=_ORDER.__getitem__))


def draw_acts(turn: int, reply: str, done: Collection[str], temperature: float, rng: Random) -> tuple[str, ...]:
    """Chooses the acts of a turn.

    Args:
        turn: how many turns this persuader has had; at least 0.
        reply: the persuadee's last words, empty at the start.
        done: acts that must not be drawn again.
        temperature: 1 draws as people do, 0 takes the likeliest act; at least 0.
        rng: makes the choice.

    Returns:
        One to three different acts, in the order in which one would say them.
    """
    column = min(turn, TURNS - 1)
    odds = {
        act: float(row[column])
        for act, row in ACTS_BY_TURN.items()
        if row[column] and act not in done and _fits(act, reply)
    }
    if "?" in reply and turn:
        for act in _ANSWERS & odds.keys():
            odds[act] *= ANSWERING
    if temperature <= 0:
        return (max(odds, key=lambda act: odds[act]),)
    top = max(odds.values())
    sharp = {act: (weight / top) ** (1 / temperature) for act, weight in odds.items()}
    drawn: list[str] = []
    for _ in range(rng.choices((1, 2, 3), ACTS_PER_TURN)[0]):
        act = rng.choices(tuple(sharp), tuple(sharp.values()))[0]
        drawn.append(act)
        del sharp[act]
        if act == "closing" or not any(sharp.values()):
            break
    return tuple(sorted(drawn, key=_ORDER.__getitem__))


def _fits(act: str, reply: str) -> bool:
    """Returns whether the reply holds one of the cues that the act needs, if it needs any."""
    cues = TAKES_UP.get(act)
    return cues is None or any(cue in reply.lower() for cue in cues)


def _phrase(known: Sequence[str], said: str, temperature: float, rng: Random) -> str:
    fresh = [phrase for phrase in known if phrase not in said] or known
    return fresh[0] if temperature <= 0 else fresh[int(rng.random() * len(fresh))]


ACTS_PER_TURN: Final = (0.60, 0.30, 0.10)
"""How often a turn holds one, two or three acts (corpus)."""
ANSWERING: Final = 3.0
"""Factor on the odds of the answering acts after a question (design)."""
ONCE: Final = ("greeting", "source-related-inquiry")
"""Acts that are done at most once in a conversation."""
TAKES_UP: Final[Mapping[str, tuple[str, ...]]] = {
    "positive-to-inquiry": ("?",),
    "neutral-to-inquiry": ("?",),
    "you-are-welcome": ("thank",),
    "ask-not-donate-reason": ("n't", "not ", "no,", "no."),
    "ask-donate-more": ("cent", "$", "dollar"),
}
"""Acts that only follow a reply that contains one of these cues."""
TURNS: Final = 10
"""Number of columns of `ACTS_BY_TURN`; later turns use the last column."""
ACTS_BY_TURN: Final[Mapping[str, tuple[int, ...]]] = {
    "you-are-welcome": (0, 0, 0, 0, 0, 0, 3, 7, 7, 7),
    "greeting": (650, 280, 17, 0, 0, 0, 0, 0, 0, 0),
    "positive-to-inquiry": (0, 17, 50, 30, 20, 17, 30, 47, 20, 20),
    "neutral-to-inquiry": (0, 13, 27, 20, 20, 20, 23, 13, 10, 10),
    "acknowledgement": (0, 40, 73, 103, 103, 117, 110, 130, 143, 100),
    "praise-user": (0, 20, 27, 60, 63, 53, 67, 53, 57, 87),
    "thank": (0, 10, 17, 7, 47, 80, 73, 107, 113, 250),
    "off-task": (0, 20, 40, 17, 17, 17, 23, 30, 50, 47),
    "other": (20, 103, 103, 93, 110, 137, 113, 157, 190, 200),
    "personal-story": (0, 3, 20, 57, 57, 40, 33, 47, 23, 17),
    "credibility-appeal": (67, 340, 447, 417, 307, 297, 243, 190, 173, 90),
    "emotion-appeal": (20, 63, 107, 133, 113, 103, 80, 60, 73, 27),
    "logical-appeal": (13, 47, 90, 87, 193, 153, 143, 120, 100, 97),
    "self-modeling": (3, 27, 53, 67, 63, 57, 60, 47, 60, 57),
    "donation-information": (10, 27, 73, 83, 147, 140, 147, 197, 160, 177),
    "foot-in-the-door": (0, 13, 37, 53, 63, 63, 70, 33, 60, 40),
    "personal-related-inquiry": (53, 93, 83, 73, 43, 37, 53, 30, 33, 3),
    "source-related-inquiry": (170, 183, 87, 43, 20, 27, 10, 10, 0, 3),
    "task-related-inquiry": (33, 113, 77, 70, 57, 50, 57, 53, 47, 30),
    "ask-not-donate-reason": (0, 0, 3, 0, 0, 0, 10, 3, 3, 0),
    "proposition-of-donation": (127, 73, 60, 103, 90, 100, 110, 83, 87, 97),
    "ask-donation-amount": (10, 10, 43, 27, 30, 43, 50, 63, 37, 83),
    "ask-donate-more": (0, 0, 0, 10, 17, 13, 10, 23, 23, 7),
    "closing": (0, 3, 0, 0, 0, 0, 3, 20, 23, 97),
}
"""Of a thousand persuader turns with each number, 0 to 9, how many hold an act (corpus).

The acts stand in the order in which they are said.
"""
_ORDER: Final = {act: place for place, act in enumerate(ACTS_BY_TURN)}
_ANSWERS: Final = frozenset(("credibility-appeal", "donation-information", "positive-to-inquiry", "neutral-to-inquiry"))

PHRASES: Final[Mapping[str, tuple[str, ...]]] = {
    "greeting": (
        "Hello! How are you today?",
        "Hi there, how are you doing?",
        "Good morning! How is your day going?",
        "Hey, nice to meet you!",
        "Hello there, how is everything?",
        "Hi! I hope you are doing well.",
    ),
    "source-related-inquiry": (
        "Have you ever heard of Save the Children?",
        "Are you familiar with a charity called Save the Children?",
        "Do you know about the organization Save the Children?",
        "Have you heard about Save the Children before?",
        "Can I ask whether you have heard of Save the Children?",
    ),
    "task-related-inquiry": (
        "Do you have a moment to talk about a charity?",
        "Would you like to hear more about them?",
        "What do you think about that?",
        "Do you have any questions so far?",
        "Do you think charities like this do enough?",
        "Is there anything else you would like to know?",
    ),
    "personal-related-inquiry": (
        "Have you ever given to a charity?",
        "Do you have children of your own?",
        "Do you ever volunteer anywhere?",
        "What kinds of charities do you usually support?",
        "Do you usually give around the holidays?",
        "Have you ever worked with children?",
    ),
    "credibility-appeal": (
        "Save the Children is an organization that helps children all over the world.",
        "They provide food, health care and schooling to children who have none of these.",
        "Save the Children is a non-profit, and it has been around for a very long time.",
        "They work in many countries, and they help families here at home as well.",
        "Their reports on what they do with the money are on their website.",
        "They are often among the first to bring relief after an earthquake or a flood.",
        "They give newborn babies and their mothers medical care.",
        "It is a well known charity that works for children's rights everywhere.",
        "They help children to stay in school and to learn to read.",
        "Save the Children works with local people who know what is needed on the ground.",
        "They provide clean water and shelter when families have to leave their homes.",
        "It is an international organization, and it does not belong to any government.",
    ),
    "emotion-appeal": (
        "It breaks my heart that some children go to bed hungry.",
        "Imagine being a small child and not knowing when you will eat again.",
        "Many of these children have lived through war and are scared every day.",
        "No child should have to suffer like that.",
        "A child who smiles again after so much pain is a beautiful thing.",
        "Children are dying of illnesses that could be treated.",
        "These kids are innocent, and they are the ones who suffer most.",
    ),
    "logical-appeal": (
        "Your help can make a real difference in the life of a child.",
        "If everyone gave something, the change would be huge.",
        "A child who goes to school has a better chance in life.",
        "It costs us very little, and it means a lot to them.",
        "Healthy children grow up to build a better future for all of us.",
        "It makes sense to help early, because problems grow when nobody acts.",
        "Think of it this way: your money could pay for a meal or a school book.",
    ),
    "self-modeling": (
        "I am going to donate part of my own payment today.",
        "I have decided to give something myself.",
        "I already donated to them this year.",
        "I will match your donation, that is how much I believe in it.",
        "I always try to give a little when I can.",
        "I plan on donating half of my payment.",
    ),
    "personal-story": (
        "When I was a child, my family got help from strangers, and I never forgot it.",
        "My sister worked abroad for a year, and she told me how much a warm meal meant to the families there.",
        "I once met a boy who could only finish school thanks to people who helped.",
        "A friend of mine grew up with very little, and somebody paid for her school books.",
        "I remember collecting coins for other kids with my grandmother.",
    ),
    "foot-in-the-door": (
        "Even a small amount helps.",
        "Every little bit counts.",
        "Even fifty cents would go a long way.",
        "It does not have to be much, just a few cents are fine.",
        "No gift is too small.",
        "Small donations add up quickly.",
        "Even $0.10 is a start.",
    ),
    "donation-information": (
        "You can choose any amount from nothing to all of your payment.",
        "Your donation would be taken directly from your task payment.",
        "The research team will collect the donations and pass them on.",
        "You have the option to give part of what you earn here.",
        "There are no forms, it is simply deducted from your payment.",
        "It is completely up to you how large the amount is.",
        "At the end of this chat you can donate a part of your payment.",
    ),
    "proposition-of-donation": (
        "Would you like to donate to Save the Children today?",
        "Would you be willing to give a part of your payment to the charity?",
        "Would you consider a donation to help these children?",
        "Are you interested in making a donation?",
        "Could you imagine giving something to the children?",
        "Do you want to donate some of your payment?",
    ),
    "ask-donation-amount": (
        "How much would you like to donate?",
        "How much of your payment would you want to give?",
        "What amount would you be comfortable with?",
        "How much do you want to donate to the charity now?",
        "Do you have an amount in mind?",
    ),
    "ask-donate-more": (
        "Could you give a little more?",
        "Would you be willing to donate a bit more than that?",
        "Would you consider raising your donation?",
        "Is there any chance that you could give more?",
    ),
    "ask-not-donate-reason": (
        "May I ask what is holding you back?",
        "What keeps you from giving?",
        "Is there a reason why you would rather not?",
        "Why do you hesitate, if you don't mind my asking, or why not?",
    ),
    "acknowledgement": (
        "I understand.",
        "I see what you mean.",
        "That makes sense.",
        "That is true.",
        "I agree with you.",
        "Good point.",
        "Fair enough.",
    ),
    "praise-user": (
        "You seem like a very kind person.",
        "It is great that you think about these things.",
        "The world needs more people like you.",
        "You have a good heart.",
        "That is very thoughtful of you.",
    ),
    "thank": (
        "Thank you for listening.",
        "Thanks for taking the time to talk to me.",
        "Thank you so much for your time.",
        "I appreciate your honesty.",
        "Thanks, that means a lot.",
    ),
    "you-are-welcome": (
        "You're welcome.",
        "You are very welcome!",
        "No problem at all.",
        "My pleasure.",
    ),
    "positive-to-inquiry": (
        "Yes, they do.",
        "Yes, I think so.",
        "Yes, that is how it works.",
        "Yes, I am sure of it.",
    ),
    "neutral-to-inquiry": (
        "I am not sure about that.",
        "I don't know exactly, to be honest.",
        "It depends.",
        "I would have to look that up.",
    ),
    "off-task": (
        "The weather has been lovely here.",
        "It is raining here, so it is a good day to stay in and chat.",
        "I had far too much coffee this morning, and it is only Monday.",
        "There was a good movie on last night, so I must be a little tired.",
    ),
    "other": (
        "I wanted to share that with you.",
        "There is a lot going on in the world.",
        "It has been on my mind lately.",
        "Take your time.",
        "I will leave that with you for a second.",
        "Let me put it another way.",
        "Well, anyway.",
    ),
    "closing": (
        "It was nice talking to you. Have a good day!",
        "Have a wonderful day, goodbye!",
        "Take care, and enjoy the rest of your day.",
        "I will let you go now. Bye!",
    ),
}
"""The phrases for each act."""
