"""Settings → the engine that runs the units of a build."""

from collections.abc import Sequence
from pathlib import Path

from dataservice.engine_settings import EngineSettings
from dataservice.errors import BuildError
from dataservice.prepare.engines.base import Engine
from dataservice.prepare.engines.processes import ProcessEngine

__all__ = ["Engine", "open_engine"]


def open_engine(settings: EngineSettings, folders: Sequence[Path]) -> Engine:
    """An engine to be entered; `folders` are those through which units and results pass.

    Raises:
        BuildError: when Ray is not installed; on entering, when there is no cluster, or a node of
            it does not see the folders.
    """
    if settings.engine == "processes":
        return ProcessEngine(settings.processes)
    try:
        from dataservice.prepare.engines.ray_tasks import RayEngine
    except ModuleNotFoundError as error:
        raise BuildError(
            f"--engine ray needs the package {error.name}, which is not installed; nothing was "
            "built; pip install 'prometheusgpt-mini[ray]', or use --engine processes"
        ) from error
    return RayEngine(settings.ray_address, folders, settings.processes)
