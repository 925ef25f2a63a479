"""A stream key goes to the agent that needs it, and into no answer."""

import json

from .conftest import Running, both_databases

pytestmark = both_databases

KEY = "open-sesame-42"
LOOKS = ("", "/explain", "/events", "/tasks", "/logs", "/outputs")


async def test_only_the_grant_has_the_key(master: Running) -> None:
    parameters = {"input": "in.mp4", "rtmp_url": "rtmp://live.example/app", "stream_key": KEY}
    answers = [await master.send("POST", "/jobs/check", json={"parameters": parameters})]
    made = await master.submit(parameters=parameters, scenario="720p30-h264")
    inside = await master.submit(parameters={"input": "in.mp4", "rtmp_url": f"rtmps://live.example/app/{KEY}?t={KEY}"})
    batch = {"jobs": [{"scenario": "720p30-h264", "parameters": parameters}]}
    answers += [made, inside, await master.send("POST", "/jobs/batch", json=batch)]
    assert made["parameters"] == {"input": "in.mp4", "rtmp_url": "rtmp://live.example/app", "stream_key": "***"}
    assert inside["parameters"]["rtmp_url"] == "rtmps://live.example/app/***"
    for problem in ({"rtmp_url": f"rtmp://h/{KEY}"}, {"rtmp_url": "rtmp://h/a", "stream_key": f"{KEY} {KEY}"}):
        answers.append(
            await master.send("POST", "/jobs", expect=400, json={"parameters": {"codec": "h264", **problem}})
        )
    node = await master.node()
    (grant,) = (await node.lease())["grants"]
    assert grant["spec"]["target"]["key"] == KEY
    await master.send("POST", f"/jobs/{made['id']}/pause", expect=409)
    for job in (made, inside):
        answers += [await master.send("GET", f"/jobs/{job['id']}{look}") for look in LOOKS]
    answers += [await master.send("GET", path) for path in ("/jobs", "/queue", "/nodes")]
    assert answers[-1]["nodes"]
    text = json.dumps(answers)
    assert KEY not in text
    assert "rtmp://live.example/app" in text
    explained = await master.send("GET", f"/jobs/{made['id']}/explain")
    assert explained["spec"]["target"]["key"] == "***"


async def test_a_stream_is_paused_before_it_runs_and_not_while(master: Running) -> None:
    parameters = {"input": "in.mp4", "rtmp_url": "rtmp://live.example/app/k"}
    made = await master.submit(parameters=parameters)
    assert (await master.send("POST", f"/jobs/{made['id']}/pause"))["status"] == "paused"
    await master.send("POST", f"/jobs/{made['id']}/resume")
    await (await master.node()).lease()
    refused = await master.send("POST", f"/jobs/{made['id']}/pause", expect=409)
    assert (refused["code"], refused["state"]) == ("streams", "assigned")
    assert "rtmp://live.example/app/***" in refused["detail"]


async def test_a_retry_has_the_key_still(master: Running) -> None:
    made = await master.submit(parameters={"input": "in.mp4", "rtmp_url": "rtmp://h.example/app", "stream_key": KEY})
    await master.send("POST", f"/jobs/{made['id']}/cancel")
    again = (await master.send("POST", f"/jobs/{made['id']}/retry"))["job"]
    assert again["parameters"]["stream_key"] == "***"
    (grant,) = (await (await master.node()).lease())["grants"]
    assert (grant["job_id"], grant["spec"]["target"]["key"]) == (again["id"], KEY)
