"""A group of controls: its slopes and spreads are those of the population, its people are healthy and differ."""

import numpy as np
import pytest

from phantom.anatomy.change import Bumps
from phantom.anatomy.parcels import LABEL, Parcel, Side, Structure
from phantom.disease import tract_fa
from phantom.examination import Examination
from phantom.group import AGES_YEARS, CORTICAL, VENTRICLES, Control, Population, Sex, controls, examinations

MODEL = Population()
HAND = Parcel(Structure.PRECENTRAL_HAND, Side.LEFT)
MANY = 4000


@pytest.fixture(scope="module")
def group() -> tuple[Control, ...]:
    return controls(MANY, seed=1)


def regression(group: tuple[Control, ...], values: list[float]) -> tuple[np.ndarray, np.ndarray, float]:
    """Intercept at 50 years, slope by year, step of women; their standard errors; residual SD."""
    design = np.array([(1, one.age_years - 50, one.sex is Sex.FEMALE) for one in group], float)
    found, squares, *_ = np.linalg.lstsq(design, np.array(values), rcond=None)
    sd = float(np.sqrt(squares[0] / (len(group) - 3)))
    return found, sd * np.sqrt(np.diag(np.linalg.inv(design.T @ design))), sd


def test_age_and_sex_slopes_of_thickness_are_found_again(group: tuple[Control, ...]) -> None:
    found, error, sd = regression(group, [one.thickness_mm[HAND] for one in group])
    np.testing.assert_array_less(np.abs(found - [0, -0.004, 0.02]), 4 * error)
    assert found[1] < -3 * error[1], "large enough to be seen at all"
    assert sd == pytest.approx(0.12, rel=0.05)  # 4 / sqrt(2 n) is 0.045


def test_a_shifted_slope_is_another_truth() -> None:
    steep = controls(MANY, seed=1, population=Population(thickness_mm_year=-0.02))
    found, error, _ = regression(steep, [one.thickness_mm[HAND] for one in steep])
    assert abs(found[1] + 0.02) < 4 * error[1]


def test_fa_of_tracts_falls_with_age(group: tuple[Control, ...]) -> None:
    healthy = tract_fa(1.0)
    some = group[:500]
    fa = [tract_fa(one.bundles()["corticobulbar", Side.LEFT].radial) - healthy for one in some]
    np.testing.assert_allclose(fa, [one.fa for one in some], atol=1e-9)
    found, error, sd = regression(group, [one.fa for one in group])
    assert abs(found[1] + 0.0008) < 4 * error[1]
    assert sd == pytest.approx(0.03, rel=0.05)


def test_regions_of_a_person_go_together_but_are_not_one(group: tuple[Control, ...]) -> None:
    table = np.array(
        [
            [one.thickness_mm[parcel] - MODEL.thickness_mm(one.age_years, one.sex) for parcel in CORTICAL]
            for one in group
        ]
    )
    apart = np.corrcoef(table.T)[~np.eye(len(CORTICAL), dtype=bool)]
    assert apart.min() > 0.4
    assert apart.max() < 0.6


def test_ventricles_grow_with_the_years() -> None:
    (one,) = controls(1, seed=3)
    centre, sigma = VENTRICLES

    def grown(years: float) -> float:
        """Volume of what fills the sphere of one sigma, over what filled it at 50 years."""
        rim = np.array(centre)[:, None] + [[sigma], [0], [0]]
        before = Bumps(one.atrophy(years)).pull(rim)[0, 0]
        return (sigma / before) ** 3

    assert grown(50 - one.age_years) == pytest.approx(1)
    assert grown(51 - one.age_years) == pytest.approx(1.015)
    assert grown(1.0) / grown(0.0) == pytest.approx(1.015)
    oldest = Bumps(controls(1, seed=3)[0].atrophy(80 - one.age_years))
    points = np.random.default_rng(0).uniform(-80, 80, (3, 5000))
    assert oldest.jacobian(points).min() > 0.3, "nothing folds"


def test_a_seed_gives_the_same_people_also_in_a_larger_group() -> None:
    assert controls(3, seed=5) == controls(8, seed=5)[:3]
    assert controls(3, seed=5) != controls(3, seed=6)
    group = controls(40, seed=5)
    assert len({one.seed for one in group}) == 40
    assert all(AGES_YEARS[0] <= one.age_years <= AGES_YEARS[1] for one in group)
    assert sum(one.sex is Sex.FEMALE for one in group) == 20
    assert set(group[0].thickness_mm) <= set(LABEL)


def test_each_person_is_examined_alike_with_a_seed_of_its_own() -> None:
    group = controls(2, seed=5)
    first, second = examinations(group, Examination(snr=20.0))
    assert (first.snr, second.snr) == (20.0, 20.0)
    assert [first.seed, second.seed] == [one.seed for one in group]
    assert first.disease is group[0]
    assert not first.disease.severity
