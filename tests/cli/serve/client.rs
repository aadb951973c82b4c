//! HTTP/1.1 by hand, so that a test may also send what no client would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// A server that says nothing for longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.text()))
    }

    /// Checks the status, and gives the JSON.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// Checks that it is an error of OpenAI's shape, and gives its message.
    pub fn refused(&self, status: u16, kind: &str) -> String {
        let error = self.expect(status)["error"].clone();
        assert_eq!(error["type"], kind, "{error}");
        for key in ["message", "param", "code"] {
            assert!(error.get(key).is_some(), "{key} in {error}");
        }
        error["message"].as_str().unwrap().to_string()
    }
}

/// Connects.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Sends bytes as far as they are taken, and reads until the server closes.
pub fn send(address: &str, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of a request, without its end.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        head += "host: 127.0.0.1\r\n";
    }
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    head
}

/// One request on a connection of its own.
pub fn ask(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = begin(address, method, path, headers, body);
    let (status, headers) = read_head(&mut stream);
    let body = match headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        true => {
            let mut body = Vec::new();
            while let Some(part) = read_part(&mut stream) {
                body.extend(part);
            }
            body
        }
        false => {
            let mut body = Vec::new();
            stream.read_to_end(&mut body).unwrap();
            body
        }
    };
    Answer { status, headers, body }
}

/// Sends a request and reads nothing.
pub fn begin(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> BufReader<TcpStream> {
    let mut stream = connect(address);
    let mut head = head(method, path, headers) + "connection: close\r\n";
    if !body.is_empty() {
        head += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A server that refuses by the head alone may close before all is sent.
    let _ = stream.write_all(body);
    BufReader::new(stream)
}

/// Status and headers.
pub fn read_head(stream: &mut BufReader<TcpStream>) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_string())),
            None => return (status, headers),
        }
    }
}

/// The next part of a body in parts; none behind the last.
fn read_part(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let length = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|e| panic!("{e}: {line:?}"));
    let mut part = vec![0; length + 2];
    stream.read_exact(&mut part).unwrap();
    part.truncate(length);
    (length > 0).then_some(part)
}

/// A stream of server-sent events, or of lines.
pub struct Events {
    stream: BufReader<TcpStream>,
    left: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Events {
    pub fn open(address: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Self {
        Self::begin(address, ("POST", path), headers, body.to_string().as_bytes())
    }

    /// The same of what is read without a body.
    pub fn listen(address: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::begin(address, ("GET", path), headers, b"")
    }

    fn begin(address: &str, (method, path): (&str, &str), headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut stream = begin(address, method, path, headers, body);
        let (status, headers) = read_head(&mut stream);
        Self { stream, left: String::new(), status, headers }
    }

    /// The data of the next event, or the next line; none at the end.
    pub fn next(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.left.split_once('\n') {
                let (line, rest) = (line.to_string(), rest.to_string());
                self.left = rest;
                match line.strip_prefix("data: ") {
                    Some(data) => return Some(data.to_string()),
                    None if line.starts_with('{') => return Some(line),
                    // An empty line ends an event; a colon begins a comment.
                    None => assert!(line.is_empty() || line.starts_with(':'), "{line:?}"),
                }
                continue;
            }
            let part = read_part(&mut self.stream)?;
            self.left += &String::from_utf8(part).unwrap();
        }
    }

    /// All that is left.
    pub fn rest(mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).collect()
    }
}
