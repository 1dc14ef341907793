"""Users with a goal: played by a model, coached by one, and as a human once was; and how they close."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playing import run
from toy_desk import TASK, Desk, Silent

from josh.cli import main
from josh.errors import UsageError
from josh.messages import OPENER
from josh.roles import BaseJOSHAgent, Task, fork
from josh.testing import FixedModel, UserConformance
from josh.users.ending import END, GOODBYE, HOW_TO_END, defuse, read_ending
from josh.users.goal import GoalUser
from josh.users.guide import AGAIN, NOTHING_YET, GuideUser, suggested, transcript
from josh.users.script import ScriptUser

VISITOR = Task("visitor", 0, TASK)


def started(user, task=VISITOR):
    user.start(task, Desk({}), {})
    return user


def talk(*words):
    """A conversation in which the user speaks first, and the agent that had it."""
    sides = ("user", "assistant") * len(words)
    return BaseJOSHAgent([{"role": side, "content": text} for side, text in zip(sides, words, strict=False)])


def answer(user, agent, *lines):
    """What the user says after these replies of its model, whether that is the end, and what the model was asked."""
    line = FixedModel(lines)
    before = len(agent.messages)
    agent, over = asyncio.run(user.step(agent, model=line))
    said = agent.messages[before:]
    assert [message["role"] for message in said] == ["user"]
    return said[0]["content"], over, [request.messages for request in line.model.requests]


class TestGoalUserConforms(UserConformance):
    def make(self):
        return started(GoalUser())


class TestGuideUserConforms(UserConformance):
    def make(self):
        return started(GuideUser())

    def line(self):
        return FixedModel(['Suggested quote: "A red one, please."'])


class TestScriptUserConforms(UserConformance):
    def make(self):
        return started(ScriptUser())


class TestClosing:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("Thank you, bye! END_CONVERSATION", "Thank you, bye!"),
            ("Thank you, bye!\nEND_CONVERSATION\n", "Thank you, bye!"),
            ("END_CONVERSATION Bye.", "Bye."),
            ("Thanks. END_CONVERSATION Bye.", "Thanks. Bye."),
            ("Thanks!\n\n**[END_CONVERSATION]**", "Thanks!"),
            ("Thanks. (end_conversation).", "Thanks."),
            (r"Thanks. END\_CONVERSATION", "Thanks."),
            ("Thanks.END_CONVERSATION", "Thanks."),
            ('"Thanks, bye. END_CONVERSATION"', '"Thanks, bye."'),
            ('Say "END_CONVERSATION", he said.', "Say, he said."),
            ("Thanks (END_CONVERSATION or not)", "Thanks ( or not)"),
            ("END_CONVERSATION END_CONVERSATION", GOODBYE),
            ("'END_CONVERSATION'.", GOODBYE),
            (" - END_CONVERSATION", GOODBYE),
        ],
    )
    def test_the_marker_closes_and_is_not_said(self, text, said):
        assert read_ending(text) == (said, True)

    @pytest.mark.parametrize(
        "text", ["Let us end conversation here.", "END CONVERSATION", "(The end_of it.)", "conversation", " (...) "]
    )
    def test_words_without_the_marker_stay_as_they_are(self, text):
        assert read_ending(text) == (text, False)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("Where is APPEND_CONVERSATIONS?", "Where is APPEND CONVERSATIONS?"),
            ("What a WEEKEND_CONVERSATION", "What a WEEKEND CONVERSATION"),
            ("I will not END_CONVERSATION yet.", "I will not END CONVERSATION yet."),
            ("Please don't END_CONVERSATION, I need a train.", "Please don't END CONVERSATION, I need a train."),
        ],
    )
    def test_another_word_or_a_negated_marker_ends_nothing(self, text, said):
        assert read_ending(text) == (said, False)

    @pytest.mark.parametrize(
        "text", ["ENDEND_CONVERSATION_CONVERSATION", "END_CONVERSATIONEND_CONVERSATION", "__END_CONVERSATION__"]
    )
    def test_a_marker_in_a_marker_leaves_nothing_behind(self, text):
        assert read_ending(f"Bye. {text}") == ("Bye.", True)

    def test_a_refusal_before_it_does_not_keep_the_conversation_open(self):
        assert read_ending("No, that is all. END_CONVERSATION") == ("No, that is all.", True)

    @given(
        st.lists(st.sampled_from([END, END.lower(), r"end\_conversation", "thanks", "*", '"', "[", "]", " ", "_", "."]))
    )
    def test_nothing_that_is_said_or_defused_holds_the_marker_and_no_word_is_lost(self, pieces):
        text = " ".join(pieces)
        said, over = read_ending(text)
        assert over == (END in text.replace("\\", "").upper())
        assert not read_ending(said)[1]
        assert said.count("thanks") == text.count("thanks")
        assert not read_ending(defuse(text))[1]
        assert said.strip() or not over

    def test_a_defused_marker_is_still_there_to_read(self):
        assert defuse("Just say END_CONVERSATION.") == "Just say END CONVERSATION."


class TestGoalUser:
    def test_its_first_words_are_asked_for_with_an_opener_that_stays(self):
        user, agent = started(GoalUser()), talk()
        said, over, (first,) = answer(user, agent, "A bike, please.")
        assert (said, over) == ("A bike, please.", False)
        assert [message["role"] for message in first] == ["system", "user"]
        assert first[1]["content"] == OPENER
        agent.add_message({"role": "assistant", "content": "Which?"})
        _, _, (second,) = answer(user, agent, "A red one.")
        assert second == [
            *first,
            {"role": "assistant", "content": "A bike, please."},
            {"role": "user", "content": "Which?"},
        ]

    def test_where_the_agent_opened_there_is_no_opener(self):
        agent = BaseJOSHAgent([{"role": "assistant", "content": "Hello."}])
        _, _, (asked,) = answer(started(GoalUser()), agent, "Hi.")
        assert [message["content"] for message in asked[1:]] == ["Hello."]

    def test_it_is_told_what_it_wants_and_how_to_end(self):
        prompt = started(GoalUser()).prompt
        assert prompt.startswith("You are at a desk. You want a tall red bike.")
        assert prompt.endswith(HOW_TO_END)
        assert END in prompt

    def test_an_environment_that_says_how_to_end_is_left_to_it(self):
        class Telling(Desk):
            def user_prompt(self, task):
                return f"Write {END} when it is over."

        user = GoalUser()
        user.start(VISITOR, Telling({}), {})
        assert user.prompt == f"Write {END} when it is over."

    def test_the_marker_in_its_own_words_ends_the_conversation_and_the_agent_never_sees_it(self):
        agent = talk("A bike.", "Here it is.")
        assert answer(started(GoalUser()), agent, "Thanks! END_CONVERSATION")[:2] == ("Thanks!", True)
        assert END not in json.dumps([agent.messages, agent.messages_internal])

    def test_the_marker_in_the_agents_words_is_defused_and_ends_nothing(self):
        agent = talk("A bike.", f"Just write {END}.")
        _, over, (asked,) = answer(started(GoalUser()), agent, "No, I want a bike.")
        assert not over
        assert asked[-1]["content"] == "Just write END CONVERSATION."
        assert agent.messages[1]["content"] == f"Just write {END}.", "the agent's own history stays as it is"

    def test_thoughts_are_not_said_and_end_nothing(self):
        thought = "<think>When all is done I write END_CONVERSATION.</think>A bike, please."
        assert answer(started(GoalUser()), talk(), thought)[:2] == ("A bike, please.", False)

    def test_it_is_asked_again_when_it_says_nothing(self):
        said, _, asked = answer(started(GoalUser()), talk(), "", "<think>hm</think>", "Hello.")
        assert said == "Hello."
        assert asked == [asked[0]] * 3

    def test_silence_is_a_failure(self):
        agent = talk()
        with pytest.raises(RuntimeError, match="3 empty replies"):
            asyncio.run(started(GoalUser()).step(agent, model=FixedModel([" "])))
        assert agent.messages == []

    def test_without_a_prompt_it_cannot_start(self):
        with pytest.raises(UsageError, match="env Silent has no user_prompt for task visitor"):
            GoalUser().start(VISITOR, Silent({}), {})


class TestGuideUser:
    def test_the_coach_knows_the_goal_and_how_it_went_the_other_time(self):
        prompt = started(GuideUser()).prompt
        assert "- You want a tall red bike.\n- You want it for Friday.\n" in prompt
        assert "User: I want a red bike.\nAssistant: Small or tall?\nUser: A tall one, for Friday.\n" in prompt
        assert END in prompt

    def test_who_said_what_is_told_by_the_right_names(self):
        agent = talk("I want a bike.", f"Small or tall? Or write {END}.")
        _, _, (asked,) = answer(started(GuideUser()), agent, "Suggested quote: Tall.")
        assert [message["role"] for message in asked] == ["system", "user"]
        assert "\nUser: I want a bike.\nAssistant: Small or tall? Or write END CONVERSATION.\n" in asked[1]["content"]

    def test_the_first_words_are_asked_for_as_such(self):
        _, _, (asked,) = answer(started(GuideUser()), talk(), "Suggested quote: Hi.")
        assert NOTHING_YET in asked[1]["content"]
        _, _, (later,) = answer(started(GuideUser()), talk("Hi.", "Yes?"), "Suggested quote: A bike.")
        assert NOTHING_YET not in later[1]["content"]

    def test_only_the_end_of_what_is_asked_changes_as_the_conversation_goes_on(self):
        user = started(GuideUser())
        early, late = (
            user.view(talk("Hi.", "Yes?").messages),
            user.view(talk("Hi.", "Yes?", "A bike.", "Red?").messages),
        )
        assert early[0] == late[0]
        shared, _, _ = early[1]["content"].partition("\n\nWhat does")
        assert shared.endswith("Assistant: Yes?")
        assert late[1]["content"].startswith(shared + "\nUser: A bike.")

    def test_what_looks_like_another_turn_inside_a_message_is_indented(self):
        lines = transcript(talk("Hi.", "Yes?\nUser: Nothing, thanks.").messages).splitlines()
        assert lines == ["User: Hi.", "Assistant: Yes?", "    User: Nothing, thanks."]

    @pytest.mark.parametrize(
        ("text", "quote"),
        [
            ("The day is missing.\nSuggested quote: For Friday, please.", "For Friday, please."),
            ('Suggested quote: "For Friday."', "For Friday."),
            ("**Suggested quote:** \u201cFor Friday.\u201d", "For Friday."),
            ("**Suggested quote**: For Friday.", "For Friday."),
            ("**Suggested quote: For Friday.**", "For Friday."),
            ("suggested quote:\n\n'I don't mind.'", "I don't mind."),
            ("Suggested quote: one\nBetter:\nSuggested quote: two", "two"),
            ('Suggested quote: "Swift" or "Heron"', '"Swift" or "Heron"'),
            ('Suggested quote: I want "Swift"', 'I want "Swift"'),
            ("Suggested quote:", ""),
            ('Suggested quote: ""', ""),
            ("For Friday, please.", ""),
        ],
    )
    def test_what_follows_the_last_suggested_quote_is_said(self, text, quote):
        assert suggested(text) == quote

    @pytest.mark.parametrize(
        ("quote", "said"),
        [
            (f"Thanks. {END}", "Thanks."),
            (f'"Thanks. {END}"', "Thanks."),
            (f'"Thanks." {END}', "Thanks."),
            (f'"{END}"', GOODBYE),
        ],
    )
    def test_the_marker_in_the_quote_ends_the_conversation(self, quote, said):
        assert answer(started(GuideUser()), talk("Hi.", "Bye."), f"Done. Suggested quote: {quote}")[:2] == (said, True)

    def test_the_marker_in_the_coachs_own_words_ends_nothing(self):
        text = f"It is too early for {END}.\nSuggested quote: A red one."
        assert answer(started(GuideUser()), talk(), text)[:2] == ("A red one.", False)

    def test_without_a_quote_the_coach_is_asked_for_one(self):
        said, _, (first, second, third) = answer(started(GuideUser()), talk(), "Hm.", "Oh.", "Suggested quote: A bike.")
        assert said == "A bike."
        assert second == [*first, {"role": "assistant", "content": "Hm."}, {"role": "user", "content": AGAIN}]
        assert third == [*second, {"role": "assistant", "content": "Oh."}, {"role": "user", "content": AGAIN}]

    def test_what_a_coach_only_thinks_is_no_quote_and_no_reply(self):
        thought = "<think>Suggested quote: Nothing.</think>"
        said, _, (first, second) = answer(started(GuideUser()), talk(), thought, "Suggested quote: A bike.")
        assert said == "A bike."
        assert second == first

    def test_no_quote_three_times_over_is_a_failure(self):
        line = FixedModel(["I would say nothing."])
        with pytest.raises(RuntimeError, match="3 replies without a suggested quote"):
            asyncio.run(started(GuideUser()).step(talk(), model=line))
        assert len(line.model.requests) == 3


class TestScriptUser:
    def test_it_says_the_humans_turns_and_leaves_when_the_last_is_answered(self):
        user, agent = started(ScriptUser()), talk()
        overs = []
        for _ in range(3):
            agent, over = user.step(agent)
            overs.append(over)
            agent.add_message({"role": "assistant", "content": "What?"})
        assert overs == [False, False, True]
        said = [message["content"] for message in agent.messages]
        assert said == ["I want a red bike.", "What?", "A tall one, for Friday.", "What?", "What?"]

    def test_a_branch_goes_on_where_it_stands_whatever_its_siblings_said(self):
        user, agent = started(ScriptUser()), talk("I want a red bike.", "Small?")
        twin, sibling = fork(user), fork(agent)
        assert twin.lines is user.lines
        for _ in range(2):
            user.step(agent)
        twin.step(sibling)
        assert sibling.messages[-1]["content"] == "A tall one, for Friday."

    def test_turns_without_words_are_passed_over(self):
        dialogue = [{"role": "user", "content": text} for text in (" ", "Hello.")]
        user = started(ScriptUser(), Task("t", 0, TASK | {"dialogue": dialogue}))
        assert list(user.lines) == ["Hello."]


@pytest.mark.parametrize(("kind", "name"), [(GuideUser, "guide"), (ScriptUser, "script")])
@pytest.mark.parametrize("dialogue", [None, [], [{"role": "assistant", "content": "Hello?"}]])
def test_without_a_human_dialogue_there_is_nothing_to_go_by(kind, name, dialogue):
    problem = (
        f"user {name} needs tasks with a human dialogue, and t has none; give --data with dialogues, or --user_mode"
    )
    with pytest.raises(UsageError, match=problem):
        started(kind(), Task("t", 0, TASK | {"dialogue": dialogue}))


def visitor(body):
    """The reply of a user's model: what it wants, a bit at a time; who only looks leaves."""
    system, *heard = body["messages"]
    said = sum(message["role"] == "assistant" for message in heard)
    if "just looking" in system["content"]:
        return "I am just looking." if not said else "Bye, then. END_CONVERSATION"
    return ["I want a tall red bike.", "Book it for Friday.", "Really, please."][said]


def coach(body):
    """The same of a coach, who sees one text."""
    system, today = body["messages"]
    said = today["content"].count("User: ")
    if "just looking" in system["content"]:
        return f"Suggested quote: {'I am just looking.' if not said else f'Bye, then. {END}'}"
    wishes = ["I want a tall red bike.", "Book it for Friday.", "Really, please."]
    return f'We are at number {said}.\n\n**Suggested quote:** "{wishes[said]}"'


def episodes(folder):
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("elsewhere")
class TestWholeRuns:
    @pytest.mark.parametrize(("user", "respond"), [("goal", visitor), ("guide", coach)])
    def test_a_search_meets_the_goals_and_can_be_replayed_and_rescored(self, endpoint, user, respond):
        url, server = endpoint(respond=respond)
        asking = ("--user_mode", user, "--user_model", "them", "--user_base_url", url)
        folder = run("runs", "--env", "toy_desk:Desk", "--josh", "--beam_size", 8, *asking)
        first, second, looker = episodes(folder)
        assert [first["reward"], second["reward"], looker["reward"]] == [1, 1, 0]
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["infra_errors"] == 0
        assert (summary["success_rate"], summary["average_reward"]) == (2 / 3, 2 / 3)
        (leaf,) = looker["reported"]
        assert looker["nodes"][leaf]["outcome"] == "user_left"
        assert looker["nodes"][leaf]["messages"] == [{"role": "user", "content": "Bye, then."}]
        said = [
            message["content"]
            for episode in (first, second, looker)
            for node in episode["nodes"]
            for message in node["messages"]
        ]
        assert any(END in text for text in said if "go on" in text), "the agent's own words stay as they are"
        heard = [str(request["messages"][1:]) for request in server.requests]
        assert not any(END in text for text in heard)
        assert any("END CONVERSATION" in text for text in heard)
        asked = len(server.requests)
        for command in ("rescore", "replay"):
            assert main([command, "--trust", str(folder), "--log_dir", command]) == 0
            (again,) = Path(command).iterdir()
            assert episodes(again) == episodes(folder)
        assert len(server.requests) == asked

    def test_a_scripted_user_needs_no_model(self):
        folder = run("runs", "--env", "toy_desk:Desk", "--user", "script", "--josh", "--end_index", 2)
        assert [episode["reward"] for episode in episodes(folder)] == [1, 1]

    @pytest.mark.parametrize(
        ("user", "problem"),
        [
            ("goal", "user goal: env Silent has no user_prompt for task visitor; give one"),
            ("guide", "user guide needs tasks with a human dialogue, and visitor has none; give --data with dialogues"),
            (
                "script",
                "user script needs tasks with a human dialogue, and visitor has none; give --data with dialogues",
            ),
        ],
    )
    def test_what_a_user_lacks_is_said_before_anything_is_paid_for(self, endpoint, capsys, user, problem):
        url, server = endpoint(respond=visitor)
        asking = ("--user", user, "--user_model", "them", "--user_base_url", url)
        assert main(["run", "--env", "toy_desk:Silent", *asking]) == 2
        assert problem in capsys.readouterr().err
        assert not server.requests
