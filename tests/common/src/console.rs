//! Typing into a running machine, and waiting for its answers.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::Termios;

/// How long any one answer may take. It ends tests that hang; it is far beyond what the slowest answer takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// A running program, with pipes or a terminal at its standard streams.
#[derive(Debug)]
pub struct Console {
    child: Child,
    input: Option<File>,
    output: Receiver<Vec<u8>>,
    /// All output so far.
    transcript: Vec<u8>,
    /// How much of it was waited for.
    seen: usize,
    errors: Arc<Mutex<Vec<u8>>>,
    error_reader: Option<JoinHandle<()>>,
    /// A part of the name, for messages.
    what: String,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// All it printed on standard output, or on its terminal.
    pub output: String,
    /// All it printed on standard error, if that was not the terminal.
    pub errors: String,
}

impl Console {
    /// Starts a program with pipes at its standard streams.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn(&mut command);
        let input = child.stdin.take().map(|s| File::from(OwnedFd::from(s)));
        let output = child
            .stdout
            .take()
            .map(|s| File::from(OwnedFd::from(s)))
            .expect("it is a pipe");
        Self::new(child, input, output, &command)
    }

    fn new(mut child: Child, input: Option<File>, mut output: File, command: &Command) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match output.read(&mut buffer) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    // A terminal reports an error once its last user has gone.
                    Ok(0) | Err(_) => return,
                    Ok(len) if sender.send(buffer[..len].to_vec()).is_err() => return,
                    Ok(_) => {}
                }
            }
        });
        let errors = Arc::new(Mutex::new(Vec::new()));
        let error_reader = child.stderr.take().map(|mut stream| {
            let errors = errors.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    errors
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend(&buffer[..len]);
                }
            })
        });
        Self {
            child,
            input,
            output: receiver,
            transcript: Vec::new(),
            seen: 0,
            errors,
            error_reader,
            what: command.get_program().to_string_lossy().into_owned(),
        }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types something.
    ///
    /// # Panics
    /// The program has ended, or its input was closed.
    pub fn send(&mut self, text: &str) {
        let input = self.input.as_mut().expect("the input is open");
        if let Err(e) = input.write_all(text.as_bytes()) {
            self.fail(&format!("typing {text:?}: {e}"));
        }
    }

    /// Ends the input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// The program has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process has a number");
        kill_process(pid, signal).expect("the process runs");
    }

    /// Waits for a text, and returns all that came before it since the last text waited for.
    ///
    /// # Panics
    /// It does not come, with the whole transcript.
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_any(&[text]).1
    }

    /// Waits for the first of several texts to come: which it was, and what came before it.
    ///
    /// # Panics
    /// None comes, with the whole transcript.
    pub fn expect_any(&mut self, texts: &[&str]) -> (usize, String) {
        let deadline = Instant::now() + PATIENCE;
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        // What was looked at, and cannot be the beginning of a text.
        let mut looked = 0;
        loop {
            let new = &self.transcript[self.seen..];
            let find = |text: &str| {
                let place = new[looked..]
                    .windows(text.len())
                    .position(|w| w == text.as_bytes());
                place.map(|place| looked + place)
            };
            let found = texts
                .iter()
                .enumerate()
                .filter_map(|(i, t)| Some((find(t)?, i)))
                .min();
            if let Some((at, index)) = found {
                let before = String::from_utf8_lossy(&new[..at]).into_owned();
                self.seen += at + texts[index].len();
                return (index, before);
            }
            looked = new.len().saturating_sub(longest);
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) if !left.is_zero() => self.transcript.extend(bytes),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {
                    self.fail(&format!("{texts:?} did not come in {PATIENCE:?}"))
                }
                Err(RecvTimeoutError::Disconnected) => {
                    self.fail(&format!("{texts:?} did not come before the output ended"))
                }
            }
        }
    }

    /// Types a command and returns what it prints: what lies between its echo and the next prompt, with `\n` at line
    /// ends.
    ///
    /// # Panics
    /// The prompt does not come.
    pub fn run(&mut self, command: &str, prompt: &str) -> String {
        self.send(&format!("{command}\r"));
        let text = self.expect(prompt).replace('\r', "");
        // The echo, whatever cursor queries come with it, is the first line.
        text.split_once('\n')
            .map_or(String::new(), |(_, rest)| rest.to_owned())
    }

    /// Waits for the program to end.
    ///
    /// # Panics
    /// It does not.
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            // A full pipe would keep the program from ending.
            self.drain(Duration::from_millis(5), Duration::from_secs(1));
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None if Instant::now() >= deadline => {
                    self.fail(&format!("it did not end in {PATIENCE:?}"))
                }
                None => {}
            }
        };
        self.drain(Duration::from_millis(200), PATIENCE);
        if let Some(reader) = self.error_reader.take() {
            let _ = reader.join();
        }
        Ended {
            status,
            output: self.transcript(),
            errors: self.errors(),
        }
    }

    /// Takes output until none has come for this long, or `most` has passed.
    fn drain(&mut self, quiet: Duration, most: Duration) {
        let deadline = Instant::now() + most;
        while Instant::now() < deadline
            && let Ok(bytes) = self.output.recv_timeout(quiet)
        {
            self.transcript.extend(bytes);
        }
    }

    /// All output so far.
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }

    fn errors(&self) -> String {
        String::from_utf8_lossy(&self.errors.lock().unwrap_or_else(PoisonError::into_inner))
            .into_owned()
    }

    fn fail(&mut self, why: &str) -> ! {
        self.drain(Duration::from_millis(100), Duration::from_secs(1));
        let status = self
            .child
            .try_wait()
            .ok()
            .flatten()
            .map_or("still running".into(), |s| s.to_string());
        panic!(
            "{}: {why}\n--- output ---\n{}\n--- errors ---\n{}\n--- {status}",
            self.what,
            self.transcript(),
            self.errors()
        )
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The status as a number, if the program was not killed.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A pseudo-terminal that a program can be started at.
#[derive(Debug)]
pub struct Terminal {
    controller: OwnedFd,
    terminal: OwnedFd,
}

impl Terminal {
    /// A new one, with the settings of a fresh login.
    ///
    /// # Panics
    /// The host has none left.
    pub fn new() -> Self {
        use rustix::fs::{Mode, OFlags, open};
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a pseudo-terminal");
        grantpt(&controller)
            .and_then(|()| unlockpt(&controller))
            .expect("a pseudo-terminal can be opened");
        let name = ptsname(&controller, Vec::new()).expect("a pseudo-terminal has a name");
        let terminal = open(
            name,
            OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .expect("it can be opened");
        Self {
            controller,
            terminal,
        }
    }

    /// Its settings now.
    ///
    /// # Panics
    /// It has gone.
    pub fn settings(&self) -> Termios {
        rustix::termios::tcgetattr(&self.terminal).expect("the terminal is there")
    }

    /// Starts a program with this terminal at its standard streams.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn start(&self, mut command: Command) -> Console {
        let stream = || {
            Stdio::from(
                self.terminal
                    .try_clone()
                    .expect("there are descriptors left"),
            )
        };
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = spawn(&mut command);
        let side = || {
            File::from(
                self.controller
                    .try_clone()
                    .expect("there are descriptors left"),
            )
        };
        Console::new(child, Some(side()), side(), &command)
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

fn spawn(command: &mut Command) -> Child {
    command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}
