"""The data that comes along, for the demo and for trying things out.

Where it comes from is in the README beside it.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["weather"]


def weather() -> pd.DataFrame:
    """Return the daily weather of Seattle from 2012 to 2015.

    Returns
    -------
    pandas.DataFrame
        A new frame of 1461 rows, one for each day, with a RangeIndex:

        - ``date``: the day, datetime64[s]
        - ``precipitation``: rain and melted snow, float64, mm
        - ``temp_max``, ``temp_min``: highest and lowest air temperature, float64, °C
        - ``wind``: mean wind speed, float64, m/s
        - ``weather``: ``drizzle``, ``fog``, ``rain``, ``snow`` or ``sun``, categorical

    Examples
    --------
    >>> frame = weather()
    >>> frame.shape
    (1461, 6)
    >>> float(frame["temp_max"].max())
    35.6
    """
    import pandas as pd

    with resources.files(__name__).joinpath("seattle-weather.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, parse_dates=["date"], dtype={"weather": "category"})
    # pandas 2 reads nanoseconds, pandas 3 microseconds.
    return frame.astype({"date": "datetime64[s]"})
