"""The run facet ``lipsync_job`` of OpenLineage. Imported only where OpenLineage is installed."""

from __future__ import annotations

import attrs
from openlineage.client.generated.base import RunFacet

__all__ = ["LipsyncJobRunFacet"]


@attrs.define
class LipsyncJobRunFacet(RunFacet):
    """The job behind a run.

    :param jobId: the vendor's.
    :param creditsEstimated: None = unknown.
    :param secondsCharged: None = unknown.
    """

    jobId: str | None = None
    model: str | None = None
    creditsEstimated: int | None = None
    secondsCharged: int | None = None
    resolution: str | None = None
    labels: dict[str, str] | None = None
