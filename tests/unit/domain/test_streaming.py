import msgspec
import pytest

from ffrtmp.domain import spec, streaming
from ffrtmp.domain.streaming import Scheme, Target


def target(**parts: object) -> Target:
    usual = {"scheme": Scheme.RTMP, "host": "live.example", "port": 1935, "application": "app", "key": "k"}
    return Target(**{**usual, **parts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "key", "made", "shown"),
    [
        ("rtmp://live.example/app/k", None, target(), "rtmp://live.example/app/***"),
        ("rtmp://live.example/app", "k", target(), "rtmp://live.example/app/***"),
        ("RTMP://live.example/app/", "k", target(), "rtmp://live.example/app/***"),
        ("rtmp://live.example/app/k?a=b&c=d", None, target(key="k?a=b&c=d"), "rtmp://live.example/app/***"),
        (
            "rtmps://10.0.0.7:8443/app/instance",
            "live_1-x?bandwidthtest=true",
            target(
                scheme=Scheme.RTMPS,
                host="10.0.0.7",
                port=8443,
                application="app/instance",
                key="live_1-x?bandwidthtest=true",
            ),
            "rtmps://10.0.0.7:8443/app/instance/***",
        ),
        ("rtmps://live.example/app/a/k", None, target(scheme=Scheme.RTMPS, port=443, application="app/a"),
         "rtmps://live.example/app/a/***"),
        ("rtmp://[2001:db8::1]:1936/app/k", None, target(host="2001:db8::1", port=1936),
         "rtmp://[2001:db8::1]:1936/app/***"),
    ],
)  # fmt: skip
def test_a_target_is_read_and_shown_without_its_key(url, key, made, shown):
    found = streaming.parse(url, key)
    assert found == made
    assert str(found) == shown
    assert repr(found) == f"Target({shown})"


@pytest.mark.parametrize(
    ("url", "key", "why"),
    [
        ("http://live.example/app/sesame", None, "must begin with rtmp:// or rtmps://"),
        ("rtmp:///app/sesame", None, "names no host"),
        ("rtmp://-x/app/sesame", None, "names no host"),
        ("rtmp://live.example:70000/app/sesame", None, "is not an RTMP URL"),
        ("rtmp://live.example:0/app/sesame", None, "port 0"),
        ("rtmp://live.example", "sesame", "has no application"),
        ("rtmp://live.example/sesame", None, "has no stream key"),
        ("rtmp://live.example/", None, "has no application"),
        ("rtmp://me:sesame@live.example/app/k", None, "a user and a password"),
        ("rtmp://live.example/app/sesame#x", None, "has a `#`"),
        ("rtmp://live.example/app?sesame=1", "k", "has a query"),
        ("rtmp://live.example/app", "open sesame", "a stream key with blanks"),
        ("rtmp://live.example/app", "sésame", "other than ASCII"),
        ("rtmp://live.example/sesame app/x", None, "an application with other characters"),
    ],
)
def test_what_is_no_target_is_told_without_the_key(url, key, why):
    with pytest.raises(ValueError, match=r"^(is|has|must|names) ") as raised:
        streaming.parse(url, key)
    assert why in str(raised.value)
    assert "sesame" not in str(raised.value)


def test_a_spec_is_shown_without_the_key_and_stored_with_it():
    made = spec.Spec(
        input=spec.Input(kind=spec.InputKind.GENERATE),
        codec=spec.Codec.H264,
        container=spec.Container.FLV,
        rate=spec.Rate(mode=spec.RateMode.CRF, crf=23.0),
        target=target(key="sesame"),
    )
    assert b"sesame" not in msgspec.json.encode(spec.shown(made))
    assert msgspec.json.decode(msgspec.json.encode(made), type=spec.Work) == made
    assert "sesame" not in repr(made)
