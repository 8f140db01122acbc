//! Calls to the local emulator from a web page in the developer's browser. Any page can reach a local port.

use bcce_tests::harness::stack::output;

/// Calls the emulator as `<img src=...>` would, with the given headers of a browser, and returns the status.
fn status(headers: &[(&str, &str)]) -> u16 {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/?Action=ListQueues", output("AWS_ENDPOINT_URL"));
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.call().unwrap().status().as_u16()
}

/// The emulator answers a local client, and refuses a call with a header that only a web page's call has.
#[test]
fn a_web_page_does_not_reach_the_emulator() {
    assert_eq!(status(&[]), 200, "a client on this machine is answered");
    for header in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("referer", "https://evil.example/page"),
        ("host", "evil.example"),
    ] {
        assert_eq!(status(&[header]), 403, "{header:?}");
    }
}
