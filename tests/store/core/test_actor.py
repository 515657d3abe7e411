import pytest

from artifact_store.core.actor import ci_run

GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/shop",
    "GITHUB_RUN_ID": "77",
}
AZURE = {
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
    "SYSTEM_TEAMPROJECT": "Web shop",
    "BUILD_BUILDID": "9",
}


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (GITHUB, "https://github.com/acme/shop/actions/runs/77"),
        (
            {"GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.com/acme/shop/-/jobs/5"},
            "https://gitlab.com/acme/shop/-/jobs/5",
        ),
        (
            {"BUILDKITE_BUILD_URL": "https://buildkite.com/acme/shop/builds/8", "BUILDKITE_JOB_ID": "e44f-9"},
            "https://buildkite.com/acme/shop/builds/8#e44f-9",
        ),
        ({"CIRCLE_BUILD_URL": "https://circleci.com/gh/acme/shop/7"}, "https://circleci.com/gh/acme/shop/7"),
        (AZURE, "https://dev.azure.com/acme/Web%20shop/_build/results?buildId=9"),
        (
            {"JENKINS_URL": "http://ci.example/", "BUILD_URL": "http://ci.example/job/shop/3/"},
            "http://ci.example/job/shop/3/",
        ),
    ],
)
def test_a_run_is_named_by_the_variables_of_its_system(environ: dict[str, str], url: str) -> None:
    assert ci_run(environ) == url


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CI": "true", "CI_JOB_URL": "https://gitlab.example/1"},
        {"BUILD_URL": "https://elsewhere.example/1"},
        {"BUILDKITE_JOB_ID": "1"},
        *({name: value for name, value in GITHUB.items() if name != left_out} for left_out in GITHUB),
        *({name: value for name, value in AZURE.items() if name != left_out} for left_out in AZURE),
    ],
)
def test_other_variables_name_no_run(environ: dict[str, str]) -> None:
    assert ci_run(environ) == ""


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://ci.example/1\nwho: root",
        "https://ci.example/\x1b[31m",
        "https://ci.example/\u202e1",
        "https://ci.example/a b",
        "https://" + "a" * 2001,
        "https://",
    ],
)
def test_a_value_that_is_not_a_url_counts_as_none(url: str) -> None:
    assert ci_run({"CIRCLE_BUILD_URL": url}) == ""
