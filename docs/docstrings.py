"""What Griffe is told of the docstrings here: that `Example:` holds code, as `Examples:` does."""

from typing import Any

import griffe


class OneExample(griffe.Extension):
    """Calls the section by the name that Griffe knows."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each object when it is read."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("Example:\n", "Examples:\n")
