//! A language server, as an editor talks to it (Language Server Protocol 3.17).

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value as Json, json};

/// A server with one document open in it.
pub struct Server {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    document: String,
    text: String,
    last: u64,
    /// What it has underlined: lines, counted from 1, each with its message.
    pub underlined: Vec<(u64, String)>,
}

impl Server {
    /// Starts a server and opens a document in it, which has to have mistakes.
    pub fn start(mut command: Command, document: &Path, text: &str) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().expect("the server");
        let input = process.stdin.take().expect("its input");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let document = format!("file://{}", document.display());
        let mut server = Self {
            process,
            input,
            output,
            document,
            text: text.to_owned(),
            last: 0,
            underlined: Vec::new(),
        };
        let formats = json!(["markdown"]);
        server.request(
            "initialize",
            json!({
                "processId": std::process::id(),
                "rootUri": null,
                "capabilities": { "textDocument": {
                    "completion": { "completionItem": { "documentationFormat": formats } },
                    "hover": { "contentFormat": formats },
                } },
            }),
        );
        server.send(&json!({ "method": "initialized", "params": {} }));
        server.send(
            &json!({ "method": "textDocument/didOpen", "params": { "textDocument": {
            "uri": server.document, "languageId": "toml", "version": 1, "text": text,
        } } }),
        );
        // What is asked before it has read the document gets no answer.
        while server.underlined.is_empty() {
            let message = server.receive();
            server.take(&message);
        }
        server
    }

    /// What it offers to write at the end of the part of the text that ends so: each with its documentation.
    pub fn complete(&mut self, before: &str) -> Vec<(String, String)> {
        let answer = self.ask("textDocument/completion", before);
        let items = answer
            .get("items")
            .unwrap_or(&answer)
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |json: &Json| {
            json.as_str()
                .or_else(|| json["value"].as_str())
                .unwrap_or_default()
                .to_owned()
        };
        items
            .iter()
            .map(|item| (text(&item["label"]), text(&item["documentation"])))
            .collect()
    }

    /// What it shows of what the part of the text that ends so ends in.
    pub fn hover(&mut self, before: &str) -> String {
        let answer = self.ask("textDocument/hover", before);
        answer["contents"]["value"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Asks about the place after a part of the text that is there once.
    fn ask(&mut self, method: &str, before: &str) -> Json {
        assert_eq!(
            self.text.matches(before).count(),
            1,
            "{before} is not there once"
        );
        let end = self.text.find(before).expect("it is there") + before.len();
        let line = self.text[..end].matches('\n').count();
        let character = end
            - self.text[..end]
                .rfind('\n')
                .map_or(0, |newline| newline + 1);
        let place = json!({
            "textDocument": { "uri": self.document },
            "position": { "line": line, "character": character },
        });
        self.request(method, place)
    }

    fn request(&mut self, method: &str, params: Json) -> Json {
        self.last += 1;
        let id = json!(self.last);
        self.send(&json!({ "id": id, "method": method, "params": params }));
        loop {
            let message = self.receive();
            if message.get("method").is_none() && message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.take(&message);
        }
    }

    /// Takes in what it says of its own.
    fn take(&mut self, message: &Json) {
        if let (Some(_), Some(id)) = (message.get("method"), message.get("id")) {
            // What it asks its editor it can do without.
            self.send(&json!({ "id": id, "result": null }));
        } else if message["method"] == "textDocument/publishDiagnostics" {
            let all = message["params"]["diagnostics"]
                .as_array()
                .into_iter()
                .flatten();
            let line = |one: &Json| one["range"]["start"]["line"].as_u64().expect("a line") + 1;
            let words = |one: &Json| one["message"].as_str().unwrap_or_default().to_owned();
            self.underlined = all.map(|one| (line(one), words(one))).collect();
        }
    }

    fn send(&mut self, message: &Json) {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        let text = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{text}", text.len())
            .expect("the server reads");
        self.input.flush().expect("the server reads");
    }

    fn receive(&mut self) -> Json {
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).expect("the server writes");
            assert!(read > 0, "the server has ended");
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().expect("a length");
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut text = vec![0; length];
        self.output.read_exact(&mut text).expect("a message");
        serde_json::from_slice(&text).expect("JSON")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
