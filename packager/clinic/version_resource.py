"""Name and version of a program -> the resource that Windows shows in a file's properties and its questions.

Without one the firewall and SmartScreen name an unknown file by an unknown publisher. Fails with `StageCrash` with the
compiler's words.
"""

from __future__ import annotations

import re
from pathlib import Path

from packager.process import child

SECONDS = 600.0
_TEXT = """1 VERSIONINFO
FILEVERSION {numbers}
PRODUCTVERSION {numbers}
FILEOS 0x40004
FILETYPE 0x1
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904B0"
    BEGIN
      VALUE "CompanyName", "packager"
      VALUE "FileDescription", "{description}"
      VALUE "FileVersion", "{version}"
      VALUE "OriginalFilename", "{file}"
      VALUE "ProductName", "{description}"
      VALUE "ProductVersion", "{version}"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
"""


def text(file: str, description: str, version: str) -> str:
    """The resource script; `version` may be anything, of which the first four numbers are told apart."""
    numbers = [str(min(int(n), 65535)) for n in re.findall(r"\d+", version)[:4]]
    numbers += ["0"] * (4 - len(numbers))
    return _TEXT.format(file=file, description=description, version=version, numbers=",".join(numbers))


def compiled(zig: Path, folder: Path, file: str, description: str, version: str) -> Path:
    """`version.res` in `folder`, to be given to the linker beside the objects."""
    script, resource = folder / "version.rc", folder / "version.res"
    script.write_text(text(file, description, version), encoding="utf-8")
    child.run([zig, "rc", "/:no-preprocess", "/c", "65001", script, resource], timeout=SECONDS)
    return resource
