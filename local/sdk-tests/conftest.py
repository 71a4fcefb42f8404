import pytest

from start import WITHOUT_RELAY, Stage, png


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as stage:
        yield stage
        if not WITHOUT_RELAY:
            stage.check_what_wechat_saw()


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """A picture of 2 MB, as photos have."""
    return save(tmp_path_factory, 1_400)


@pytest.fixture(scope="session")
def small_picture(tmp_path_factory):
    """A picture within the 1 MB of uploadimg."""
    return save(tmp_path_factory, 700)


def save(tmp_path_factory, side):
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    path.write_bytes(png(side, side))
    return path
