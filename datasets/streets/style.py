"""The domain gap in one place: instances of `Style` draw the same streets as a game, on a dull day, at night, in rain.

The geometry never asks which domain it draws. To make the gap wider or narrower, change numbers here, and raise
`datasets.streets.VERSION`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from datasets.streets.palettes import NIGHT_PALETTE, RAIN_PALETTE, SOURCE_PALETTE, TARGET_PALETTE, Palette

Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """How one domain looks and what stands in its streets. Ranges are drawn from uniformly, once an image."""

    # Camera and layout: the shift in geometry
    camera_height: Range  # metres above the ground
    focal: Range  # in image widths; larger is a narrower view
    horizon: Range  # of the image's height, from the top
    vanish: Range  # of the image's width: where the road ends
    bend: float  # largest curvature of the road, 1/m
    road_half_width: Range  # metres
    sidewalk_width: Range  # metres
    building_height: Range  # metres
    lots: Mapping[str, float]  # what stands beside the sidewalk, as relative frequencies
    verge: float  # probability of a strip of terrain between road and sidewalk, a side
    crossing: float  # probability of a crossing street
    street_trees: float  # probability of a row of trees, a side
    parked_cars: float  # probability that a place at the kerb is taken
    traffic: float  # mean number of driving cars
    pedestrians: float  # mean number of people on foot
    street_furniture: float  # mean number of poles, signs, bins a side
    guests: Mapping[str, float]  # share of the images in which a rare thing appears for sure
    ego_vehicle: bool  # the bonnet and the frame outside the region of interest are in the picture, as in Cityscapes

    # Surfaces
    palette: Palette
    colour_jitter: float  # relative standard deviation of an object's colour around its palette entry
    texture: Range  # strength of the materials' texture, 1 is a well-worn street
    stains: float  # strength of uneven colour over metres (dirt, patches, moss), 0..1

    # Light
    sun_azimuth: Range  # radians; 0 is behind the camera
    relief: float  # difference in light between faces turned to and from the sun, 0..1
    shadow: float  # darkness of cast shadows, 0..1
    exposure: Range  # factor on all light
    contrast: Range  # factor on differences to middle grey
    cast: float  # standard deviation of the colour channels' gains
    uneven: float  # strength of smooth variation of the light over the image, 0..1

    # Air and lens
    haze: Range  # extinction, 1/m
    saturation: Range  # factor on colour differences to grey
    vignette: Range  # loss of light in the corners, 0..1
    blur: Range  # standard deviation, in thousandths of the image's width
    noise: Range  # standard deviation of the sensor's noise, in grey levels
    streaks: Range = (0.0, 0.0)  # of rain: so many in each ten thousand pixels


SOURCE = Style(
    camera_height=(1.5, 2.1),
    focal=(0.8, 1.0),
    horizon=(0.42, 0.5),
    vanish=(0.4, 0.6),
    bend=1 / 900,
    road_half_width=(5.0, 9.0),
    sidewalk_width=(2.2, 4.5),
    building_height=(6.0, 26.0),
    lots={"building": 0.5, "wall": 0.13, "fence": 0.13, "hedge": 0.09, "trees": 0.08, "grass": 0.07},
    verge=0.3,
    crossing=0.4,
    street_trees=0.4,
    parked_cars=0.3,
    traffic=2.0,
    pedestrians=1.5,
    street_furniture=2.5,
    guests={
        "train": 0.12, "bus": 0.15, "truck": 0.17, "motorcycle": 0.16, "bicycle": 0.2, "rider": 0.18,
        "traffic light": 0.28, "traffic sign": 0.45, "person": 0.42, "wall": 0.3, "fence": 0.3, "terrain": 0.3,
    },
    ego_vehicle=False,
    palette=SOURCE_PALETTE,
    colour_jitter=0.05,
    texture=(0.1, 0.2),
    stains=0.0,
    sun_azimuth=(0.7, 0.7),
    relief=0.45,
    shadow=0.3,
    exposure=(1.0, 1.0),
    contrast=(1.0, 1.0),
    cast=0.0,
    uneven=0.0,
    haze=(0.0008, 0.0012),
    saturation=(1.1, 1.1),
    vignette=(0.0, 0.0),
    blur=(0.0, 0.0),
    noise=(0.0, 1.0),
)  # fmt: skip

TARGET = Style(
    camera_height=(1.2, 1.5),
    focal=(0.9, 1.15),
    horizon=(0.38, 0.46),
    vanish=(0.42, 0.58),
    bend=1 / 700,
    road_half_width=(3.8, 7.0),
    sidewalk_width=(1.8, 4.0),
    building_height=(8.0, 20.0),
    lots={"building": 0.55, "wall": 0.1, "fence": 0.1, "hedge": 0.08, "trees": 0.12, "grass": 0.05},
    verge=0.25,
    crossing=0.35,
    street_trees=0.5,
    parked_cars=0.5,
    traffic=2.4,
    pedestrians=2.2,
    street_furniture=3.5,
    guests={
        "train": 0.16, "bus": 0.17, "truck": 0.17, "motorcycle": 0.18, "bicycle": 0.24, "rider": 0.2,
        "traffic light": 0.28, "traffic sign": 0.45, "person": 0.45, "wall": 0.3, "fence": 0.3, "terrain": 0.3,
    },
    ego_vehicle=True,
    palette=TARGET_PALETTE,
    colour_jitter=0.12,
    texture=(0.5, 0.9),
    stains=0.35,
    sun_azimuth=(-2.6, 2.6),
    relief=0.3,
    shadow=0.45,
    exposure=(0.7, 1.1),
    contrast=(0.8, 1.0),
    cast=0.05,
    uneven=0.15,
    haze=(0.003, 0.009),
    saturation=(0.65, 1.0),
    vignette=(0.1, 0.35),
    blur=(0.8, 2.4),
    noise=(2.0, 6.0),
)  # fmt: skip

# The same town in other conditions: what stands in its streets is as likely as by day.
NIGHT = replace(
    TARGET,
    palette=NIGHT_PALETTE,
    relief=0.15,
    shadow=0.15,
    exposure=(0.4, 0.7),
    contrast=(0.75, 0.95),
    cast=0.12,
    uneven=0.55,
    haze=(0.004, 0.012),
    saturation=(0.45, 0.8),
    vignette=(0.2, 0.5),
    blur=(1.0, 2.8),
    noise=(6.0, 14.0),
)

RAIN = replace(
    TARGET,
    palette=RAIN_PALETTE,
    relief=0.1,
    shadow=0.1,
    exposure=(0.6, 0.9),
    contrast=(0.6, 0.85),
    haze=(0.008, 0.02),
    saturation=(0.5, 0.8),
    blur=(1.2, 3.2),
    noise=(3.0, 8.0),
    streaks=(4.0, 14.0),
)

# Another town in another engine, without what SYNTHIA does not label (beside the road some of it still is: void).
SYNTHIA = replace(
    SOURCE,
    camera_height=(1.3, 2.6),
    focal=(0.7, 0.9),
    horizon=(0.38, 0.48),
    bend=1 / 1500,
    lots={"building": 0.7, "wall": 0.08, "fence": 0.1, "hedge": 0.06, "trees": 0.06},
    verge=0.0,
    pedestrians=3.0,
    guests={name: share for name, share in SOURCE.guests.items() if name not in ("train", "truck", "terrain")},
    colour_jitter=0.18,
    texture=(0.2, 0.4),
    sun_azimuth=(-1.2, -0.4),
    relief=0.3,
    exposure=(0.75, 1.0),
    contrast=(0.85, 1.0),
    cast=0.06,
    haze=(0.002, 0.004),
    saturation=(0.7, 0.95),
    noise=(0.0, 2.0),
)

CONDITIONS = {"day": TARGET, "night": NIGHT, "rain": RAIN}
"""What the target domain can be seen in. Another one goes to the end: the place of each decides what is drawn of it."""
