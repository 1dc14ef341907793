"""The donor's sentences, by act. Only a `{tag}` states a decision; `{about}` and `{topic}` take
up the persuader's words.
"""

from collections.abc import Collection, Iterable
from random import Random
from typing import Final

from josh.envs.persuasion import acts as s
from josh.envs.persuasion.donation import DONATION


def choose(act: str, acts: Iterable[str], amount: float | None, about: str, said: Collection[str], rng: Random) -> str:
    """Returns a sentence for an act, if possible one that has not been said; `fill` completes it.

    Args:
        act: the persuadee act to put into words.
        acts: the persuader acts that it answers.
        amount: the dollars of the decision; 0.0 for a final refusal, None without a decision.
        about: the words that it asks about, of which there may be none.
        said: the sentences chosen earlier in the conversation.
        rng: makes the choice.
    """
    if amount is not None:
        choices = SENTENCES[act] if amount > 0 else FINAL_REFUSALS
    else:
        heard = set(acts)
        key = next((key for asked, key in _FITTING.get(act, ()) if asked in heard), act)
        choices = SENTENCES.get(key) or SENTENCES["other"]
    if act in _ASKING_BACK:
        shown = quote(about)
        choices = tuple(choice for choice in choices if _takes_up(choice) == bool(shown))
    fresh = [choice for choice in choices if choice not in said] or choices
    return fresh[int(rng.random() * len(fresh))]


def fill(sentence: str, amount: float | None, about: str = "") -> str:
    """Returns the sentence with the amount in words and as a donation tag, and with the words that it asks about."""
    if _takes_up(sentence):
        shown = quote(about)
        several = shown.endswith("s") and not shown.endswith("ss") and " " not in shown
        sentence = sentence.replace("{topic}", shown if several else f'"{shown}"')
        return sentence.replace("{about}", shown).replace("{do}", "do" if several else "does")
    if amount is None:
        return sentence
    return sentence.replace("{sum}", _spell(amount)).replace("{tag}", DONATION.write(amount))


def quote(about: str) -> str:
    """Returns words as they can stand in a question: at most eight of at most 20 letters, without numbers."""
    words = [word for word in about.split() if not word[0].isdigit()]
    short = " ".join(word[:20] for word in words[:8])
    return f"{short} ..." if short and len(words) > 8 else short


def _takes_up(sentence: str) -> bool:
    return "{about}" in sentence or "{topic}" in sentence


def _spell(amount: float) -> str:
    if amount >= 1:
        return f"${amount:.0f}" if amount == int(amount) else f"${amount:.2f}"
    cents = round(100 * amount)
    return "1 cent" if cents == 1 else f"{cents} cents"


FINAL_REFUSALS: Final = (
    "I have thought about it, and I am going to keep my payment this time. {tag}",
    "I'm sorry, but my answer is no. I will not be giving anything today. {tag}",
    "I said no and I meant it. Let's leave it there. {tag}",
    "No, thank you. I wish the children well, but I'm not giving today. {tag}",
    "Please stop asking. I have decided not to give. {tag}",
)

SENTENCES: Final[dict[str, tuple[str, ...]]] = {
    "agree-donation": (
        "Okay, you have convinced me. I would like to give {sum}. {tag}",
        "Yes, I think that is a good thing to do. I'll give {sum}. {tag}",
        "You know what, I'm in. Please put me down for {sum}. {tag}",
        "Sure, I can spare {sum} for the children. {tag}",
        "That sounds fair to me. I'm happy to give {sum}. {tag}",
        "All right, I would like to help too. {sum} from me. {tag}",
        "I was not planning to, but yes, let me give {sum}. {tag}",
    ),
    "provide-donation-amount": (
        "I think I can do {sum}. {tag}",
        "Let me give {sum} of my payment. {tag}",
        "I would feel comfortable with {sum}. {tag}",
        "How about {sum}? I hope it helps someone. {tag}",
        "{sum} is what I can manage right now. {tag}",
        "Put me down for {sum}, please. {tag}",
    ),
    "disagree-donation": (
        "I'm sorry, but I don't think I can give anything right now.",
        "No, not today. Money is tight for me at the moment.",
        "I would rather not, to be honest.",
        "I don't think so. I already support a charity close to home.",
        "Thanks, but I'm going to pass on that.",
        "I'd like to keep what I earn here, sorry.",
        "No. I really don't know enough about them to hand over money.",
    ),
    "disagree-donation-more": (
        "No, I can't go any higher than that.",
        "I'm not comfortable with more, sorry.",
        "That would be too much for me right now.",
        "Please don't push for more.",
    ),
    "leave": (
        "I'd like to stop here. Take care.",
        "This is starting to feel pushy, so I'm going to go. Goodbye.",
        "I don't want to talk about this any more. Bye.",
        "I have to get going. Good luck with it.",
    ),
    "positive-reaction-to-donation": (
        "That is good to hear. I like what they are doing.",
        "It does sound like a worthwhile cause.",
        "I agree, children should not have to live like that.",
        "That makes sense to me.",
        "Wow, I did not know that. They seem to do important work.",
        "I think it is wonderful that people do this.",
        "You make a good point there.",
        "I do care about children, so this speaks to me.",
        "It's nice to know that someone is looking out for them.",
        "That really is something worth supporting.",
        "I can see why you feel strongly about it.",
    ),
    "negative-reaction-to-donation": (
        "I'm a little wary of big charities, I have to say.",
        "I'm never sure the money really gets to the children.",
        "There are so many charities asking for money these days.",
        "I don't have much to spare myself.",
        "I feel that we have enough problems here at home.",
        "I don't know, that sounds a bit like an advertisement.",
        "Honestly, I don't see how my bit would change much.",
    ),
    "neutral-reaction-to-donation": (
        "I see. I don't have a strong feeling about it yet.",
        "I'm still making up my mind about this.",
        "It may be a good cause. I would have to read more.",
        "I can see both sides.",
        "Hm, I am not sure what to think.",
    ),
    "stall": (
        "Maybe later. Let me think about it first.",
        "I might. I'm not ready to decide just yet.",
        "Possibly. I would want to know more first.",
        "I'm on the fence, to be honest.",
        "Let me think it over for a moment.",
        "I'll consider it, but I can't promise anything.",
        "Perhaps. It depends on a few things.",
    ),
    "ask-org-info": (
        "What exactly does the charity do?",
        "Where do they work? Only abroad, or here as well?",
        "How much of the money really reaches the children?",
        "How long have they been around?",
        "How do I know that I can trust them?",
        "Which children do they help, mostly?",
        "Can you tell me a little more about them?",
        "Who runs the organization?",
        "What do they spend the money on?",
    ),
    "ask-donation-procedure": (
        "How would that work? Does it come out of my payment?",
        "Would I have to enter my card details anywhere?",
        "Is there a smallest amount?",
        "How does the money get to them?",
        "Could I choose the amount myself?",
    ),
    "ask-persuader-donation-intention": (
        "Are you giving something yourself?",
        "What about you, do you support them too?",
        "Have you ever given to them?",
        "How much are you planning to give?",
    ),
    "task-related-inquiry": (
        "Why did you pick this charity?",
        "What made you interested in this?",
        "Do you think it really helps in the long run?",
        "Are there other ways to help, like volunteering?",
        "What happens to the children once they get help?",
    ),
    "personal-related-inquiry": (
        "Do you work with children yourself?",
        "Do you have kids?",
        "How did you get involved with them?",
        "Do you give to charity often?",
    ),
    "positive-to-inquiry": (
        "Sure, go ahead.",
        "Yes, please tell me more.",
        "Yes, I do. Go on.",
        "I would say yes.",
    ),
    "yes-source": (
        "Yes, I have heard the name, but I don't know much about them.",
        "I think I have seen their ads on TV.",
        "Yes, a friend told me about them once.",
        "I have, yes. They help children, right?",
    ),
    "yes-personal": (
        "Yes, now and then, when I can.",
        "I try to. It is not always easy.",
        "Yes, I do. It has always mattered to me.",
        "A little, yes. Mostly around the holidays.",
    ),
    "negative-to-inquiry": (
        "No, not at the moment.",
        "Not really, no.",
        "I don't think so.",
        "No, nothing comes to mind.",
    ),
    "no-source": (
        "No, I haven't. What do they do?",
        "I can't say that I have.",
        "No, that is new to me.",
        "Not before today, no.",
    ),
    "no-personal": (
        "Not as often as I should.",
        "No, I never got around to it.",
        "Not really. Life keeps me busy.",
        "No, I haven't so far.",
    ),
    "neutral-to-inquiry": (
        "I'm not sure, to be honest.",
        "It depends.",
        "Hard to say. Sometimes, I guess.",
        "I have never really thought about it.",
    ),
    "acknowledgement": (
        "I see.",
        "Okay, that is good to know.",
        "Right, I understand.",
        "Fair enough.",
        "Ah, okay. I did not know that.",
        "Yes, I follow you.",
        "That's true.",
    ),
    "greeting": (
        "Hi there! How are you?",
        "Hello! I'm doing well, thanks. And you?",
        "Hey, good to meet you.",
        "Hi! I'm fine, thank you. How is your day going?",
        "Good, thanks. What would you like to talk about?",
        "Hello, nice to meet you.",
    ),
    "thank": (
        "Thank you for telling me.",
        "Thanks, I appreciate the information.",
        "Thank you, that is kind of you.",
        "Thanks for explaining.",
    ),
    "you-are-welcome": (
        "You're welcome.",
        "No problem at all.",
        "Of course, happy to chat.",
        "Sure, it was no trouble.",
    ),
    "closing": (
        "It was nice talking to you. Goodbye!",
        "You too. Have a good day!",
        "Thanks for the chat. Bye now.",
        "Take care, and good luck with your work.",
    ),
    "off-task": (
        "Sorry, my dog just jumped on my keyboard. Go on.",
        "It has been a long week. Anyway, where were we?",
        "The weather is terrible here today.",
        "I'm having my coffee while we talk, I hope you don't mind.",
    ),
    "other": (
        "Hm, okay.",
        "I guess that is one way to look at it.",
        "Go on.",
        "Interesting.",
        "I'm listening.",
        "Well, it is a big world out there.",
        "I suppose so.",
        "Let me think for a second.",
    ),
    "leave-puzzled": (
        "I don't understand what you want from me. I'm going to go. Bye.",
        "Sorry, this makes no sense to me. Goodbye.",
        "I think something is wrong with this chat, so I will leave it here.",
        "We are not getting anywhere. Take care.",
    ),
    "puzzled-silent": (
        "Are you still there?",
        "I only see an empty message.",
        "Did you mean to write something?",
        "Hello? Nothing came through.",
    ),
    "puzzled-gibberish": (
        'What is "{about}" supposed to mean?',
        'I can\'t read that. "{about}"?',
        'Did your keyboard break? I see "{about}".',
        '"{about}"? That is no word I know.',
        "I can't make out a word of that.",
        "Sorry, that is just letters to me.",
        "Is your keyboard all right?",
        "I don't understand. Can you write that again?",
    ),
    "puzzled-foreign": (
        'Sorry, I only know English. What is "{about}"?',
        'What language is that? I don\'t know "{about}".',
        'I don\'t understand "{about}". Can you say it in English?',
        "\"{about}\"? I'm afraid I don't speak that.",
        "Sorry, I only speak English.",
        "I can't read that. Could you write in English?",
        "What language is that?",
        "I'm afraid I don't speak that.",
    ),
    "puzzled-salad": (
        'I don\'t follow. What do you mean by "{about}"?',
        'What about "{about}"? That was not a sentence.',
        'Sorry, I lost you at "{about}".',
        'You wrote something with "{about}", but I can\'t make sense of it.',
        '"{about}"? Could you put that another way?',
        "I don't understand what you mean.",
        "That makes no sense to me.",
        "Could you put that another way?",
        "Sorry, I can't follow you.",
    ),
    "puzzled-fragment": (
        '"{about}"? What do you mean?',
        'What about "{about}"?',
        '"{about}"... and then?',
        'I\'m not sure what to say to "{about}".',
        "What do you mean?",
        "And then?",
        "I'm not sure what to say to that.",
        "Could you say a bit more?",
    ),
    "puzzled-off-topic": (
        "What {do} {topic} have to do with it?",
        "Why are we talking about {topic}?",
        "I'm not sure how we got to {topic}.",
        "Sorry, {topic}? I don't see the connection.",
        "I have nothing to say about {topic}, really.",
        "Did you want to tell me something besides {topic}?",
        "What does that have to do with anything?",
        "I'm not sure why you tell me this.",
        "Where are you going with this?",
        "Sorry, I don't see the connection.",
    ),
    "puzzled-repeated": (
        'You said "{about}" before.',
        '"{about}": yes, I have read that already.',
        'Why do you write "{about}" again?',
        'I heard you the first time: "{about}".',
        'Are you a machine? You keep saying "{about}".',
        "You have said that before.",
        "I heard you the first time.",
        "You are repeating yourself.",
        "Yes, I have read that already.",
    ),
    "puzzled-echoed": (
        '"{about}" is what I said.',
        'Why do you repeat "{about}" after me?',
        'That is my line: "{about}". What do you think?',
        'I wrote "{about}". I was hoping for an answer.',
        "You are repeating what I said.",
        "Why do you repeat my words?",
        "Are you copying me?",
        "That is what I said. What do you think?",
    ),
    "puzzled-long": (
        "That is a lot of text. What is the short version?",
        "Sorry, I stopped reading halfway.",
        "Can you say that in two sentences?",
        "That is too much for me to read. What do you want to know?",
    ),
}
"""Several sentences for each act. `stall`, `yes-...` and `no-...` replace an act after certain persuader acts."""

_STALLS: Final = ((s.PROPOSITION, "stall"), (s.ASK_AMOUNT, "stall"), (s.ASK_MORE, "stall"))
_FITTING: Final = {
    "neutral-reaction-to-donation": _STALLS,
    "positive-to-inquiry": ((s.SOURCE_INQUIRY, "yes-source"), (s.PERSONAL_INQUIRY, "yes-personal")),
    "negative-to-inquiry": ((s.SOURCE_INQUIRY, "no-source"), (s.PERSONAL_INQUIRY, "no-personal")),
}
_ASKING_BACK: Final = frozenset(act for act, choices in SENTENCES.items() if any(map(_takes_up, choices)))
