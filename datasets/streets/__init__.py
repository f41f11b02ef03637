"""The embedded benchmark: procedurally drawn street scenes in the 19 classes of Cityscapes, with a real domain gap.

The source domain looks like a game (clean, saturated, evenly lit) and is written as GTA's download is laid out; the
target domain looks like a dull afternoon through a car's windscreen (textured, hazy, dim, noisy, other colours, other
mix of objects) and is written as Cityscapes' download is. A second source, drawn where it is asked for, is another town
in another engine, written as SYNTHIA's download is. The same code draws all: `style.Style` holds all that differs.
Nothing is downloaded, and the same arguments give the same bytes on one machine.

    python -m datasets.streets --out DIR            draws the data set
    python -m datasets.streets --sheet FILE.png DIR shows it on one picture

`write` draws into a folder, `cached` draws once and returns the folder from then on.
"""

from datasets.streets.files import VERSION, cached, write

__all__ = ["VERSION", "cached", "write"]
