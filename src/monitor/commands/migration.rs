//! Commands that have the machine go on elsewhere.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use solderless_model::memory::PAGE;

use super::super::table::{Error, Nothing};
use super::super::{Migration, Vm};
use super::run::is_made;
use super::saved::write;
use crate::diagnostics::suggest;
use crate::state::{Description, Limits, Outgoing, Step, Travelled, Uri};

/// Where the machine goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migrate {
    /// The place: file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:N.
    uri: String,
    /// It runs meanwhile, and the answer comes at once. It stands still for a file, in any case.
    #[serde(default)]
    detach: Option<bool>,
}

/// As people give it: without `-d` the machine stands still meanwhile.
pub fn migrate(vm: &mut Vm<'_>, args: Migrate) -> Result<Nothing, Error> {
    let live = args.detach == Some(true);
    begin(vm, &args.uri, live)
}

/// As programs give it: QEMU does not look at `detach` either.
pub fn migrate_detached(vm: &mut Vm<'_>, args: Migrate) -> Result<Nothing, Error> {
    let _ = args.detach;
    begin(vm, &args.uri, true)
}

fn begin(vm: &mut Vm<'_>, uri: &str, live: bool) -> Result<Nothing, Error> {
    is_made(vm)?;
    not_under_way(vm)?;
    let uri: Uri = uri.parse()?;
    if live && !uri.is_plain_file() {
        return send(vm, uri);
    }
    let begin = Instant::now();
    let result = write(vm, &uri);
    let time = begin.elapsed();
    let travelled = Travelled {
        time,
        downtime: time,
        ..Travelled::default()
    };
    let end = match &result {
        Ok(()) => End::Gone,
        Err(e) => End::Failed(e.reason.clone()),
    };
    conclude(vm, end, travelled, false);
    result.map(|()| Nothing {})
}

/// Fails while the machine is on its way.
pub fn not_under_way(vm: &mut Vm<'_>) -> Result<(), Error> {
    match vm.sessions.migration().0 {
        Some(_) => Err("There's a migration process in progress: see migrate_cancel".into()),
        None => Ok(()),
    }
}

/// From where a machine comes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// The place: unix:PATH and tcp:HOST:PORT, where one listens from now on, file:PATH, exec:COMMAND or fd:N.
    uri: String,
}

/// Waits for a machine where there is none. The answer comes at once; what became of it is asked with query-migrate.
pub fn incoming(vm: &mut Vm<'_>, args: Incoming) -> Result<Nothing, Error> {
    if vm.is_made() {
        return Err("there is a machine already: 'run --incoming defer' begins without one".into());
    }
    if vm.incoming.is_some() {
        return Err("a machine is waited for already".into());
    }
    let uri: Uri = args.uri.parse()?;
    let door = uri.arrival().map_err(|e| format!("{uri}: {e}"))?;
    vm.incoming = Some(door);
    vm.migration = None;
    vm.sessions.tell_migration("setup");
    Ok(Nothing {})
}

/// Begins to send the machine while it runs.
fn send(vm: &mut Vm<'_>, uri: Uri) -> Result<Nothing, Error> {
    let description = Description::new(vm.loaded);
    let sections = vm.machine.save(description.about.state);
    let sections = sections.map_err(|e| format!("the machine cannot be sent: {e}"))?;
    let outgoing = Outgoing::start(uri, &description, sections, vm.sessions.waker())?;
    *vm.sessions.migration().0 = Some(outgoing);
    vm.migration = None;
    vm.sessions.tell_migration("setup");
    Ok(Nothing {})
}

impl Vm<'_> {
    /// Does what is to be done about the machine on its way.
    pub fn attend_migration(&mut self) {
        match self.sessions.step() {
            Step::Goes => {}
            Step::Fits => match self
                .machine
                .save_what_changes(self.loaded.plan.state_version())
            {
                Ok(sections) => {
                    let running = !self.paused;
                    if let Some(outgoing) = self.sessions.migration().0 {
                        outgoing.hand_over(sections, running);
                    }
                    self.handing_over = true;
                    if running {
                        self.sessions.event("STOP", None);
                    }
                }
                Err(e) => {
                    self.give_up_migration();
                    self.migration_over(Err(format!("the machine cannot be sent: {e}")));
                }
            },
            Step::Over(result) => self.migration_over(result),
        }
    }

    /// The machine that was waited for is there, or not.
    pub fn conclude_incoming(&mut self, result: Result<(), String>, time: Duration) {
        let status = if result.is_ok() {
            "completed"
        } else {
            "failed"
        };
        let travelled = Travelled {
            time,
            ..Travelled::default()
        };
        self.migration = Some(Migration {
            status,
            travelled,
            live: false,
            reason: result.err(),
        });
        self.sessions.tell_migration(status);
    }

    /// The machine goes on elsewhere, or here.
    fn migration_over(&mut self, result: Result<(), String>) {
        let outgoing = self.sessions.migration().0.take();
        let travelled = outgoing.map(|outgoing| outgoing.travelled());
        let end = match result {
            Ok(()) => End::Gone,
            Err(reason) => {
                tracing::warn!("the machine was not migrated, and goes on here: {reason}");
                End::Failed(reason)
            }
        };
        conclude(self, end, travelled.unwrap_or_default(), true);
    }

    /// Has the machine stay here if it is on its way; false if it has gone already.
    pub fn give_up_migration(&mut self) -> bool {
        let Some(outgoing) = self.sessions.migration().0.take() else {
            return true;
        };
        let travelled = outgoing.travelled();
        let stays = outgoing.cancel();
        let end = if stays { End::Cancelled } else { End::Gone };
        conclude(self, end, travelled, true);
        stays
    }
}

/// How a migration ended.
enum End {
    /// The machine goes on elsewhere.
    Gone,
    /// It does not, for this reason.
    Failed(String),
    /// It does not, because somebody said so.
    Cancelled,
}

/// Notes what has become of a migration, live or not, and tells of it.
fn conclude(vm: &mut Vm<'_>, end: End, travelled: Travelled, live: bool) {
    let gone = matches!(end, End::Gone);
    let (status, reason) = match end {
        End::Gone => ("completed", None),
        End::Failed(reason) => ("failed", Some(reason)),
        End::Cancelled => ("cancelled", None),
    };
    let handed_over = std::mem::take(&mut vm.handing_over);
    vm.migration = Some(Migration {
        status,
        travelled,
        live,
        reason,
    });
    let stood = vm.paused;
    vm.paused |= gone;
    vm.moved |= gone;
    match (gone, handed_over) {
        (true, false) if !stood => vm.sessions.event("STOP", None),
        (false, true) if !stood => vm.sessions.event("RESUME", None),
        _ => {}
    }
    if live {
        vm.sessions.tell_migration(status);
    }
}

pub fn cancel(vm: &mut Vm<'_>, _: Nothing) -> Result<Nothing, Error> {
    match vm.give_up_migration() {
        true => Ok(Nothing {}),
        false => Err("the machine goes on elsewhere already".into()),
    }
}

/// What of memory was sent.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MigrationStats {
    /// Bytes that were sent.
    transferred: u64,
    /// Bytes that are to be sent still.
    remaining: u64,
    /// Bytes that the machine has.
    total: u64,
    /// Pages that have one value.
    duplicate: u64,
    /// Always 0.
    skipped: u64,
    /// Pages that were sent as they are.
    normal: u64,
    /// The same in bytes.
    normal_bytes: u64,
    /// Pages that the machine writes in a second.
    dirty_pages_rate: u64,
    /// Megabits that the wire takes in a second.
    mbps: f64,
    /// How often it was asked what was written.
    dirty_sync_count: u64,
    /// Always 0.
    postcopy_requests: u64,
    /// Always 4096.
    page_size: u64,
    /// Always 0.
    multifd_bytes: u64,
    /// Pages that the wire takes in a second.
    pages_per_second: u64,
    /// The same as transferred.
    precopy_bytes: u64,
    /// Always 0.
    downtime_bytes: u64,
    /// Always 0.
    postcopy_bytes: u64,
    /// Always 0.
    dirty_sync_missed_zero_copy: u64,
}

/// What becomes of the machine on its way, or became of it the last time.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MigrationInfo {
    /// `setup`, `active`, `device`, `completed`, `failed` or `cancelled`; nothing if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Milliseconds so far, or that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_time: Option<u64>,
    /// Milliseconds of those in which the machine stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    downtime: Option<u64>,
    /// Milliseconds in which it would stand still at the speed so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_downtime: Option<u64>,
    /// Milliseconds until the destination was ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    setup_time: Option<u64>,
    /// Of a machine that runs meanwhile, what of memory was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    ram: Option<MigrationStats>,
    /// By how many per cent the machine is slowed down.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_throttle_percentage: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_desc: Option<String>,
}

pub fn migration(vm: &mut Vm<'_>, _: Nothing) -> Result<MigrationInfo, Error> {
    let now = vm.sessions.migration().0.as_ref().map(|o| {
        let travelled = o.travelled();
        let status = match (travelled.ready, travelled.stands) {
            (false, _) => "setup",
            (true, false) => "active",
            (true, true) => "device",
        };
        Migration {
            status,
            travelled,
            live: true,
            reason: None,
        }
    });
    let waits = vm.incoming.is_some().then(|| Migration {
        status: "setup",
        travelled: Travelled::default(),
        live: false,
        reason: None,
    });
    let now = now.or(waits);
    let goes = now.is_some();
    let Some(of) = now.or_else(|| vm.migration.clone()) else {
        return Ok(MigrationInfo {
            status: None,
            total_time: None,
            downtime: None,
            expected_downtime: None,
            setup_time: None,
            ram: None,
            cpu_throttle_percentage: None,
            error_desc: None,
        });
    };
    let t = of.travelled;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let went = goes || of.status == "completed";
    let ram = MigrationStats {
        transferred: t.sent,
        remaining: t.left,
        total: t.memory,
        duplicate: t.uniform,
        skipped: 0,
        normal: t.pages,
        normal_bytes: t.pages * PAGE,
        dirty_pages_rate: t.dirtied,
        mbps: t.rate / 1e6,
        dirty_sync_count: t.passes,
        postcopy_requests: 0,
        page_size: PAGE,
        multifd_bytes: 0,
        pages_per_second: (t.rate / 8.0 / PAGE as f64) as u64,
        precopy_bytes: t.sent,
        downtime_bytes: 0,
        postcopy_bytes: 0,
        dirty_sync_missed_zero_copy: 0,
    };
    Ok(MigrationInfo {
        status: Some(of.status),
        total_time: went.then(|| ms(t.time)),
        downtime: (went && !goes).then(|| ms(t.downtime)),
        expected_downtime: goes.then(|| ms(t.downtime)),
        setup_time: (went && of.live).then(|| ms(t.setup)),
        ram: (went && of.live).then_some(ram),
        cpu_throttle_percentage: (goes && t.throttle > 0).then(|| t.throttle.into()),
        error_desc: of.reason,
    })
}

pub fn say_migration(info: &MigrationInfo) -> String {
    let Some(status) = info.status else {
        return "nothing was saved by migrate\n".to_owned();
    };
    let mut text = format!("Migration status: {status}\n");
    let mut line = |name: &str, value: Option<u64>, unit: &str| {
        if let Some(value) = value {
            text += &format!("{name}: {value} {unit}\n");
        }
    };
    line("total time", info.total_time, "ms");
    line("downtime", info.downtime, "ms");
    line("expected downtime", info.expected_downtime, "ms");
    line("setup", info.setup_time, "ms");
    if let Some(ram) = &info.ram {
        line("transferred ram", Some(ram.transferred >> 10), "kbytes");
        line("throughput", Some(ram.mbps as u64), "mbps");
        line("remaining ram", Some(ram.remaining >> 10), "kbytes");
        line("total ram", Some(ram.total >> 10), "kbytes");
        line("duplicate", Some(ram.duplicate), "pages");
        line("normal", Some(ram.normal), "pages");
        line("dirty sync count", Some(ram.dirty_sync_count), "times");
        line("dirty pages rate", Some(ram.dirty_pages_rate), "pages");
    }
    line("cpu throttle", info.cpu_throttle_percentage, "per cent");
    if let Some(reason) = &info.error_desc {
        text += &format!("error: {reason}\n");
    }
    text
}

/// The names of what the way may take.
pub const PARAMETERS: &[&str] = &[
    "cpu-throttle-increment",
    "cpu-throttle-initial",
    "downtime-limit",
    "max-bandwidth",
    "max-cpu-throttle",
];

/// What the way may take.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MigrationParameters {
    /// Milliseconds that the machine may stand still.
    #[serde(skip_serializing_if = "Option::is_none")]
    downtime_limit: Option<u64>,
    /// Bytes in a second while it runs; 0 for as many as the wire takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bandwidth: Option<u64>,
    /// By how many per cent a machine is slowed down at first that writes memory faster than the wire takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_throttle_initial: Option<u64>,
    /// By how many more each time.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_throttle_increment: Option<u64>,
    /// By how many at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_cpu_throttle: Option<u64>,
}

pub fn set_parameters(vm: &mut Vm<'_>, args: MigrationParameters) -> Result<Nothing, Error> {
    let limits = vm.sessions.migration().1;
    let mut new = *limits;
    if let Some(ms) = args.downtime_limit {
        if ms > 2_000_000 {
            return Err("Parameter 'downtime-limit' expects an integer in the range of 0 to 2000000 milliseconds".into());
        }
        new.downtime = Duration::from_millis(ms);
    }
    new.bandwidth = args.max_bandwidth.unwrap_or(new.bandwidth);
    for (name, given, to) in [
        (
            "cpu-throttle-initial",
            args.cpu_throttle_initial,
            &mut new.initial,
        ),
        (
            "cpu-throttle-increment",
            args.cpu_throttle_increment,
            &mut new.increment,
        ),
        ("max-cpu-throttle", args.max_cpu_throttle, &mut new.most),
    ] {
        match given {
            Some(value @ 1..=99) => *to = value as u32,
            Some(_) => {
                return Err(format!(
                    "Parameter '{name}' expects an integer in the range of 1 to 99"
                )
                .into());
            }
            None => {}
        }
    }
    *limits = new;
    Ok(Nothing {})
}

pub fn parameters(vm: &mut Vm<'_>, _: Nothing) -> Result<MigrationParameters, Error> {
    let limits = vm.sessions.migration().1;
    Ok(MigrationParameters {
        downtime_limit: u64::try_from(limits.downtime.as_millis()).ok(),
        max_bandwidth: Some(limits.bandwidth),
        cpu_throttle_initial: Some(limits.initial.into()),
        cpu_throttle_increment: Some(limits.increment.into()),
        max_cpu_throttle: Some(limits.most.into()),
    })
}

pub fn say_parameters(parameters: &MigrationParameters) -> String {
    let rows = [
        ("downtime-limit", parameters.downtime_limit, " ms"),
        ("max-bandwidth", parameters.max_bandwidth, " bytes/second"),
        ("cpu-throttle-initial", parameters.cpu_throttle_initial, ""),
        (
            "cpu-throttle-increment",
            parameters.cpu_throttle_increment,
            "",
        ),
        ("max-cpu-throttle", parameters.max_cpu_throttle, ""),
    ];
    let line = |(name, value, unit): (&str, Option<u64>, &str)| {
        format!("{name}: {}{unit}\n", value.unwrap_or_default())
    };
    rows.into_iter().map(line).collect()
}

/// A parameter, as people set it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name, as `info migrate_parameters` has it.
    parameter: String,
    /// The number. Of max-bandwidth it is in MiB, or has K, M or G behind it.
    value: String,
}

pub fn set_parameter(vm: &mut Vm<'_>, args: Parameter) -> Result<Nothing, Error> {
    let Parameter { parameter, value } = args;
    let wrong = || Error::from(format!("\"{value}\" is no number for {parameter}"));
    let number = match parameter.as_str() {
        "max-bandwidth" => {
            let (digits, shift) = match value.split_at_checked(value.len().saturating_sub(1)) {
                Some((digits, "K" | "k")) => (digits, 10),
                Some((digits, "M" | "m")) => (digits, 20),
                Some((digits, "G" | "g")) => (digits, 30),
                Some((digits, "B" | "b")) => (digits, 0),
                _ => (value.as_str(), 20),
            };
            let number: u64 = digits.parse().map_err(|_| wrong())?;
            number.checked_mul(1 << shift).ok_or_else(wrong)?
        }
        _ => value.parse().map_err(|_| wrong())?,
    };
    let given = serde_json::from_value(json!({ &parameter: number }));
    let given: MigrationParameters = given.map_err(|_| {
        let help = suggest(&parameter, "parameters", PARAMETERS.iter().copied());
        format!("there is no parameter {parameter}\n{help}")
    })?;
    set_parameters(vm, given)
}

/// What a migration can do, and whether it is to.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// What it is.
    capability: CapabilityName,
    /// Whether it is to.
    state: bool,
}

/// What a migration can do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CapabilityName {
    /// Slow down a machine that writes memory faster than the wire takes it.
    AutoConverge,
    /// Have programs told by the event MIGRATION.
    Events,
}

/// What a migration is to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Any of what it can.
    capabilities: Vec<Capability>,
}

pub fn set_capabilities(vm: &mut Vm<'_>, args: Capabilities) -> Result<Nothing, Error> {
    not_under_way(vm)?;
    for Capability { capability, state } in args.capabilities {
        match capability {
            CapabilityName::AutoConverge => vm.sessions.migration().1.throttle = state,
            CapabilityName::Events => vm.sessions.tells_migration(state),
        }
    }
    Ok(Nothing {})
}

pub fn capabilities(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<Capability>, Error> {
    let Limits { throttle, .. } = *vm.sessions.migration().1;
    let capability = |capability, state| Capability { capability, state };
    Ok(vec![
        capability(CapabilityName::AutoConverge, throttle),
        capability(CapabilityName::Events, vm.sessions.is_migration_told()),
    ])
}

pub fn say_capabilities(capabilities: &[Capability]) -> String {
    let line = |c: &Capability| {
        let state = if c.state { "on" } else { "off" };
        format!("{}: {state}\n", c.capability.name())
    };
    capabilities.iter().map(line).collect()
}

impl CapabilityName {
    fn name(self) -> &'static str {
        match self {
            Self::AutoConverge => "auto-converge",
            Self::Events => "events",
        }
    }
}

/// A capability, as people set it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCapability {
    /// Its name, as `info migrate_capabilities` has it.
    capability: String,
    /// on or off.
    state: String,
}

pub fn set_capability(vm: &mut Vm<'_>, args: SetCapability) -> Result<Nothing, Error> {
    let capability = match args.capability.as_str() {
        "auto-converge" => CapabilityName::AutoConverge,
        "events" => CapabilityName::Events,
        other => {
            return Err(format!(
                "there is no capability {other}; there are auto-converge and events"
            )
            .into());
        }
    };
    let state = match args.state.as_str() {
        "on" => true,
        "off" => false,
        other => return Err(format!("\"{other}\" is neither on nor off").into()),
    };
    let capabilities = vec![Capability { capability, state }];
    set_capabilities(vm, Capabilities { capabilities })
}
