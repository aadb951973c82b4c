//! The page from the same port.

use super::client::ask;
use super::site::Site;
use crate::place::Place;

#[test]
fn the_page_comes_in_the_form_that_a_browser_takes() {
    let place = Place::with_model();
    place.write("dist/index.html", "<html>page</html>");
    place.write("dist/engine.wasm", "plain");
    place.write("dist/engine.wasm.br", "small");
    place.write("dist/engine.wasm.gz", "medium");
    place.write("secret.txt", "secret");
    let site = Site::start(&place, "--model model --page dist --api-key k");
    let index = site.get("/");
    assert_eq!(
        (index.text().as_str(), index.header("content-type")),
        ("<html>page</html>", Some("text/html; charset=utf-8"))
    );
    let get = |path: &str, headers: &[(&str, &str)]| ask(&site.address, "GET", path, headers, b"");
    let small = get("/engine.wasm", &[("accept-encoding", "gzip, br")]);
    assert_eq!((small.text().as_str(), small.header("content-encoding")), ("small", Some("br")));
    assert_eq!(small.header("content-type"), Some("application/wasm"));
    let medium = get("/engine.wasm", &[("accept-encoding", "gzip")]);
    assert_eq!((medium.text().as_str(), medium.header("vary")), ("medium", Some("accept-encoding")));
    let plain = get("/engine.wasm", &[]);
    assert_eq!((plain.text().as_str(), plain.header("content-encoding")), ("plain", None));
    let tag = plain.header("etag").unwrap();
    assert_eq!(get("/engine.wasm", &[("if-none-match", tag)]).status, 304);
    let head = ask(&site.address, "HEAD", "/engine.wasm", &[], b"");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("5"), 0));
    for path in ["/../secret.txt", "/%2e%2e/secret.txt", "/none", "/dist/"] {
        assert_eq!(get(path, &[]).status, 404, "{path}");
    }
    assert_eq!(site.get("/v1/models").status, 401);
}

#[test]
fn the_page_learns_of_its_server_in_its_head() {
    let place = Place::with_model();
    place.write("dist/index.html", "<html><head><title>page</title></head></html>");
    place.write("dist/index.html.br", "packed");
    let told = |flags: &str| {
        let site = Site::start(&place, &format!("--model model --page dist {flags}"));
        let get = |path: &str| ask(&site.address, "GET", path, &[("accept-encoding", "br")], b"");
        let (index, named) = (get("/"), get("/index.html"));
        assert_eq!((index.text(), index.header("content-encoding")), (named.text(), None));
        index.text()
    };
    let mark = "<html><head><meta name=\"kindling-server\" content=\"v1/";
    assert_eq!(told(""), format!("{mark} open\"><title>page</title></head></html>"));
    assert_eq!(told("--api-key k"), format!("{mark} key\"><title>page</title></head></html>"));
}
