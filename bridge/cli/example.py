"""What ``zbridge serve`` serves when it is given nothing: the weather of Seattle, in every form."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    import bridge

__all__ = ["add_to", "example"]

# Of the channel's days.
SECONDS_PER_DAY = 0.5


def example() -> tuple[pd.DataFrame, np.ndarray[Any, Any], Callable[[str, int], np.ndarray[Any, Any]]]:
    """Return a table, an array and a query function."""
    from bridge import data

    weather = data.weather()

    def monthly_mean(column: str, year: int) -> np.ndarray[Any, Any]:
        """Mean of a column in each month of a year."""
        days = weather[weather["date"].dt.year == year]
        means: np.ndarray[Any, Any] = days.groupby(days["date"].dt.month)[column].mean().to_numpy()
        return means

    return weather, weather[["temp_min", "temp_max"]].to_numpy(), monthly_mean


def add_to(server: bridge.Server) -> None:
    """Serve the example, also as a stream and a channel."""
    weather, temperature, monthly_mean = example()
    server["weather"] = weather
    server["temperature"] = temperature
    server.query(monthly_mean)

    @server.stream
    def years(column: str) -> Iterator[dict[str, float]]:
        """Mean of a column in each year, one by one."""
        for year, days in weather.groupby(weather["date"].dt.year):
            yield {"year": float(year), "mean": float(days[column].mean())}

    channel = server.channel("replay", keep_rows=len(weather))

    def replay() -> None:
        for row in itertools.cycle(range(len(weather))):
            channel.append(weather.iloc[row : row + 1])
            pause.wait(SECONDS_PER_DAY)

    pause = threading.Event()
    threading.Thread(target=replay, name="bridge-replay", daemon=True).start()
