"""Packaging: all top-level folders of code are imported under `josh.`."""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
FOLDERS = ["agents", "envs", "rewards", "runs", "users"]
ROOMS = sorted({*FOLDERS, *(file.parent.as_posix() for folder in FOLDERS for file in Path(folder).rglob("*.py"))})

TRAIN = [
    "torch>=2.4",
    "transformers>=5.0",
    "trl>=1.0",
    "peft>=0.17",
    "datasets>=4.7",
    "accelerate>=1.10",
    "matplotlib>=3.8",
]

setup(
    name="josh-dialogue",
    version="0.1.0",
    description="Teach a dialogue agent from its own best conversations: tree search, simulated users, sparse rewards.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        "josh",
        "josh.models",
        "josh.strategies",
        *(f"josh.{room.replace('/', '.')}" for room in ROOMS),
    ],
    package_dir={"josh": "josh", **{f"josh.{folder}": folder for folder in FOLDERS}},
    package_data={
        "josh": ["py.typed"],
        "josh.envs.persuasion": ["english.json"],
        "josh.envs.toolwoz": ["small/*.json"],
        "josh.runs": ["recipes/*.sh"],
        "josh.runs.report": ["page/*"],
    },
    install_requires=[
        "openai[aiohttp]>=2.20,<4",
        "litellm>=1.80.15,!=1.82.7,!=1.82.8",
        "numpy>=1.26",
        "openpyxl>=3.1",
        "pydantic>=2.10",
        "tqdm>=4.66",
        "tenacity>=9.0",
        "typing-extensions>=4.12",
        "rich>=14.3,<16",
    ],
    extras_require={
        "train": TRAIN,
        "grpo": TRAIN,
        "verifiers": ["verifiers>=0.4"],
        "interop": ["gguf>=0.17", "xllamacpp>=2026.10"],
        "mcp": ["mcp>=2.0"],
        "plot": ["matplotlib>=3.8"],
        "treequest": ["treequest>=0.3"],
        "lens": ["persuasion-index>=0.3"],
        "ray": ["ray>=2.50"],
        "realism": ["scikit-learn>=1.5", "matplotlib>=3.8"],
        "dev": [
            "hypothesis>=6.100",
            "mcp>=2.0",
            "mypy>=1.15",
            "playwright>=1.50",
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
            "scikit-learn>=1.5",
            "tensorboard>=2.16",
            "types-tqdm",
        ],
    },
    entry_points={"console_scripts": ["josh = josh.__main__:main"]},
    classifiers=["Programming Language :: Python :: 3", "Typing :: Typed"],
)
