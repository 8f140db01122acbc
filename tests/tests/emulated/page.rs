//! A web page that the user's browser shows calls the local emulator, whose port any page can reach.

use bcce_tests::harness::stack::output;

/// Calls the emulator as `<img src=...>` does, with what a browser adds to it.
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

#[test]
fn a_web_page_does_not_reach_the_emulator() {
    assert_eq!(status(&[]), 200, "a client on this machine does");
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
