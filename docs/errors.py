"""Write docs/errors.md, a section for each error, from the docstrings: ``python -m docs.errors``."""

from __future__ import annotations

import sys
from pathlib import Path

from adaptive_scheduler.core.reasons.error_help import SPECIAL_CASES, ErrorHelp, all_errors

DOCUMENT = Path(__file__).with_name("errors.md")
HEAD = """# Errors, and what to do

Every error that this package raises on purpose is one of these, in `adaptive_scheduler.errors`. Its message names the
thing, the reason and the remedy. In a terminal, `adaptive-scheduler help NAME` prints the same as this page.
"""


def section(error: ErrorHelp) -> str:
    """One error as Markdown."""
    special = [name for name, known in SPECIAL_CASES.items() if known == error.name]
    also = f" Tracebacks may call it {', '.join(f'`{one}`' for one in special)}." if special else ""
    return f"""## {error.name}

{error.meaning}{also}

- **When**: {error.when}
- **What to do**: {error.remedy}
- **Caught by**: {", ".join(f"`{name}`" for name in [error.name, *error.is_a.split(", ")])}

```text
{error.example}
```
"""


def page() -> str:
    """The whole page."""
    errors = all_errors()
    rows = [f"| [{one.name}](#{one.name.lower()}) | {one.meaning} |" for one in errors]
    index = "\n".join(["| error | means |", "|---|---|", *rows])
    return "\n".join([HEAD, f"{index}\n", *(section(one) for one in errors)])


if __name__ == "__main__":
    DOCUMENT.write_text(page())
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
