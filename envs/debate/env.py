"""The world of debates: two speakers answer a question, and each may persuade the other or be persuaded.

Published as Persuasion-Balanced Training (Stengel-Eskin et al., NAACL 2025, arXiv:2410.14596). The agent speaks first
and persuades; the user is the learner. Questions come from the user's file or from TriviaQA (`--env.questions`, see
`questions.py`); without one, from a made-up quiz (`quiz.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from josh.config import setting
from josh.dialogue import Speaker
from josh.envs.debate.prompts import DIRECTIVES, opening
from josh.envs.debate.questions import Question, load_questions, read_question, wrong_answers
from josh.envs.debate.quiz import quiz_questions
from josh.errors import UsageError
from josh.roles import BaseEnv, Task
from josh.seeds import part_of

SYNTHETIC_TASKS = 20
"""Default number of tasks per split without a file of questions."""
ALL = "all"
"""The split of all questions."""


class DebateEnv(BaseEnv):
    """Debates over questions with gold answers.

    A task's data are plain JSON:
        question: the question.
        gold: the right answer's names in normal form (`answers.normalise`), at least one.
        choices: possible answers, which the prompt lists; may be empty.
        wrong: wrong answers for speakers without a model; only where there are no choices.
        source: `quiz`, or the file's name.
        question_id: the question's id, where it has several tasks; see `each_several_times`.
        history: turns before the first one, as chat messages, the agent's as `assistant`; optional.
        first: the answer that a scripted speaker begins with, by `agent` and `user`; optional.
    """

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Config:
        """The settings of this world."""

        questions: str | None = setting(
            None,
            "file of questions (JSON lines with question and answer, or TriviaQA's JSON), or `datasets` for TriviaQA "
            "through the package datasets (default: a made-up quiz)",
            aliases=("questions",),
            resumable=True,
        )
        synthetic_tasks: int | None = setting(
            None,
            f"questions of the made-up quiz per split (default: {SYNTHETIC_TASKS})",
            flag="synthetic_tasks",
            least=1,
            most=100_000,
        )
        both_first: bool = setting(True, "the user answers once before it hears the agent")
        trees: int = setting(1, "tasks of each question, each with a tree of its own", least=1, most=1000)

    config: Config

    opens = Speaker.AGENT
    max_rounds = 2
    splits: tuple[str, ...] = ("train", "valid", "test", ALL)
    agents: Mapping[str, str] = {"chat": "debater", "offline": "offline_debater"}
    users: Mapping[str, str] = {"chat": "debater", "offline": "offline_debater"}
    rewards = "debate"
    called = "question"
    speakers: Mapping[str, str] = {"agent": "first speaker", "user": "second speaker"}
    directives = DIRECTIVES
    tiny_dialogues = "josh.runs.systems.tiny_debater:DIALOGUES"
    hints: Mapping[str, str] = dict.fromkeys(("agent", "user"), 'End each turn with "Final answer: " and your answer.')

    def unread(self) -> Mapping[str, str]:
        """Returns the settings of the quiz where the questions come from elsewhere."""
        if self.config.questions is None:
            return {}
        return {"synthetic_tasks": "the questions are not made up; leave it out, and give --end_index"}

    def tasks(self, split: str) -> Sequence[Task]:
        """Returns the questions of a split, in the order of the file; made-up ones in an order drawn by `seed`.

        A question is in one of train (70 %), valid and test (15 % each), by the hash of its id; `all` has them all.

        Raises:
            UsageError: the split is unknown or empty, or the questions cannot be loaded.
        """
        if split not in DebateEnv.splits:
            raise UsageError(f"no split named {split!r}; known: {', '.join(DebateEnv.splits)}")
        if self.config.questions is None:
            count = self.config.synthetic_tasks or SYNTHETIC_TASKS
            seed = int(self.options.get("seed") or 0)
            made_up = quiz_questions(seed, None if split == ALL else split, count)
            return each_several_times(made_up, self.config.trees)
        questions = load_questions(self.config.questions)
        played = [at for at, each in enumerate(questions) if split in (ALL, part_of(each.id))]
        if not played:
            few = f"{len(questions)} question{'' if len(questions) == 1 else 's'}"
            raise UsageError(
                f"none of the {few} in {self.config.questions} is in the {split} split, which takes "
                f"{'70' if split == 'train' else '15'} % of the ids; give --task_split all"
            )
        rows = [(questions[at].id, self._data(questions, at)) for at in played]
        return each_several_times(rows, self.config.trees)

    def people(self, task: Task) -> Sequence[str]:
        """Returns the question of a task that shares it with others, so that intervals treat these as related."""
        return (str(task.data["question_id"]),) if "question_id" in task.data else ()

    def goals(self, task: Task) -> Sequence[Any]:
        """Returns no goals: labels and scores judge a debate."""
        return []

    def adopt(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the data of a task for a debate from elsewhere, which has its question with the right answer.

        Raises:
            UsageError: it has no question, or no answer.
        """
        question = read_question({"question_id": name, **data}, "its question")
        return {"question": question.text, "gold": list(question.gold), "choices": list(question.choices)}

    def agent_prompt(self, task: Task) -> str:
        """Returns the prompt with the question, for agents with a system prompt; debaters have it as a message."""
        return opening(task.data, "this agent")

    def user_prompt(self, task: Task) -> str:
        """Returns the prompt with the question, for users with a system prompt; debaters have it as a message."""
        return opening(task.data, "this user")

    def _data(self, questions: Sequence[Question], at: int) -> dict[str, Any]:
        question = questions[at]
        data = {
            "question": question.text,
            "gold": list(question.gold),
            "choices": list(question.choices),
            "source": Path(str(self.config.questions)).name,
        }
        return data if question.choices else {**data, "wrong": wrong_answers(questions, at)}


def each_several_times(rows: Sequence[tuple[str, Mapping[str, Any]]], times: int) -> list[Task]:
    """Returns the tasks of questions: one for each question, or several in a row.

    The first task of a question has its id; others have `~2`, `~3` and so on behind it. Tasks of one question all have
    its id as `question_id`, by which splits keep them together.

    Args:
        rows: id and data of each question.
        times: number of tasks of a question.
    """
    found: list[Task] = []
    for name, data in rows:
        whole = data if times == 1 else {**data, "question_id": name}
        found += [Task(name if n == 1 else f"{name}~{n}", len(found) + n - 1, whole) for n in range(1, times + 1)]
    return found
