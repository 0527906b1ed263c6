"""DTI as an analysis: what it needs, what it costs, what it makes."""

from __future__ import annotations

from analyses.contract import Analysis, Cost, Findings, Inputs, Need, RoleKind, Technique, Workspace
from analyses.dti.acceptance import accept
from analyses.quantities import AD, FA, MD, RD, VOLUME, Quantity


class DiffusionTensorImaging:
    """Brain mask, tensor, FA, MD, AD and RD of brain and white matter, with their quality."""

    name = "dti"
    version = "1"
    technique = Technique.DTI
    needs: tuple[Need, ...] = (Need("dwi", RoleKind.DWI, accept=accept),)
    produces: tuple[Quantity, ...] = (FA, MD, AD, RD, VOLUME)
    cost = Cost(threads=1, memory_mb=1500, time_limit_s=300)

    def run(self, inputs: Inputs, work: Workspace) -> Findings:
        """Measure the tensor of `inputs.volumes["dwi"]`; `Unsuitable` when it is incomplete, no brain, or too noisy."""
        # numba, scipy and matplotlib take a second to import: only the job that measures pays, not whoever plans
        from analyses.dti.measurement import measure

        return measure(inputs.volumes["dwi"], work)


DTI: Analysis = DiffusionTensorImaging()
