"""Writes small arrays of token ids as NumPy writes them, in each version of its format (numpy 2).

    ~/.cache/kindling/peers/bin/python tests/golden/arrays/arrays.py
"""

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

HERE = Path(__file__).parent
IDS = (np.arange(24, dtype="<i4") * 7 % 31).reshape(4, 6)

for version in [(1, 0), (2, 0), (3, 0)]:
    with open(HERE / f"v{version[0]}.npy", "wb") as file:
        npy.write_array(file, IDS, version=version)
np.save(HERE / "fortran.npy", np.asfortranarray(IDS))
np.save(HERE / "int64.npy", IDS.astype("<i8"))
IDS.astype("<u2").tofile(HERE / "flat.bin")
