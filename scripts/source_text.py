"""C++ sources as the checks read them: found by folder, without comments."""
import re
from pathlib import Path

FOLDERS = ("stages", "pipeline", "model", "trainer", "cli")

_TOKENS = re.compile(
    r'R"(?P<tag>[^()\s\\]{0,16})\(.*?\)(?P=tag)"'  # raw string
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'"  # not the ' of 1'000
    r"|//(?:\\\n|[^\n])*"
    r"|/\*.*?\*/",
    re.DOTALL,
)


def sources(root, folders=FOLDERS):
    """The .h, .cpp and .cu files below `folders`, as paths relative to `root`, in order."""
    root = Path(root)
    found = [path for folder in folders for path in (root / folder).rglob("*") if path.suffix in (".h", ".cpp", ".cu")]
    return sorted(path.relative_to(root) for path in found)


def blank_comments(text):
    """`text` with comments blanked out; lines keep their numbers."""
    def blank(match):
        token = match.group(0)
        return re.sub(r"[^\n]", " ", token) if token.startswith(("//", "/*")) else token
    return _TOKENS.sub(blank, text)


def blank_comments_and_strings(text):
    """`text` with comments and literals blanked out; lines keep their numbers."""
    return _TOKENS.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), text)


def line_of(text, offset):
    """1-based number of the line that `offset` is in."""
    return text.count("\n", 0, offset) + 1
