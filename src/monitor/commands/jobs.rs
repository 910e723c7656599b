//! Jobs: what a program starts, and asks later what became of it. Each is done when its command is answered, and is known
//! until it is dismissed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::Vm;
use super::super::table::{Error, Nothing};
use super::saved;

/// The most jobs that are known at once.
const MOST: usize = 256;

/// A snapshot, and the name of the job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SnapshotJob {
    /// The name by which the job is known.
    job_id: String,
    /// The snapshot's name.
    tag: String,
    /// In QEMU, the disk that the machine is saved in; snapshots are files of a folder here.
    #[serde(default)]
    vmstate: Option<String>,
    /// In QEMU, the disks that are saved too; all is saved here.
    #[serde(default)]
    devices: Option<Vec<String>>,
}

/// What became of a job.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct JobInfo {
    /// Its name.
    id: String,
    /// What it is: `snapshot-save`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// `concluded`: it has come to its end.
    status: &'static str,
    /// How far it is.
    current_progress: u64,
    /// How far it has to go.
    total_progress: u64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub fn save(vm: &mut Vm<'_>, args: SnapshotJob) -> Result<Nothing, Error> {
    run(vm, args, "snapshot-save", saved::save)
}

pub fn load(vm: &mut Vm<'_>, args: SnapshotJob) -> Result<Nothing, Error> {
    run(vm, args, "snapshot-load", saved::load)
}

pub fn delete(vm: &mut Vm<'_>, args: SnapshotJob) -> Result<Nothing, Error> {
    run(vm, args, "snapshot-delete", saved::delete)
}

fn run(
    vm: &mut Vm<'_>,
    args: SnapshotJob,
    kind: &'static str,
    work: fn(&mut Vm<'_>, saved::Snapshot) -> Result<Nothing, Error>,
) -> Result<Nothing, Error> {
    let SnapshotJob {
        job_id: id, tag, ..
    } = args;
    let _ = (args.vmstate, args.devices);
    if vm.jobs.iter().any(|job| job.id == id) {
        return Err(format!("Job ID '{id}' already in use").into());
    }
    if vm.jobs.len() >= MOST {
        return Err(format!("there are {MOST} jobs; dismiss some with job-dismiss").into());
    }
    let tell = |vm: &mut Vm<'_>, status: &str| {
        let data = json!({ "id": id, "status": status });
        vm.sessions.event("JOB_STATUS_CHANGE", Some(data));
    };
    tell(vm, "created");
    tell(vm, "running");
    let result = work(vm, saved::Snapshot::of(tag));
    match &result {
        Ok(_) => ["waiting", "pending"]
            .iter()
            .for_each(|status| tell(vm, status)),
        Err(_) => tell(vm, "aborting"),
    }
    tell(vm, "concluded");
    vm.jobs.push(JobInfo {
        id,
        kind,
        status: "concluded",
        current_progress: 1,
        total_progress: 1,
        error: result.err().map(|e| e.reason),
    });
    Ok(Nothing {})
}

pub fn jobs(vm: &mut Vm<'_>, _: Nothing) -> Result<Vec<JobInfo>, Error> {
    Ok(vm.jobs.clone())
}

/// Which job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobId {
    /// Its name.
    id: String,
}

pub fn dismiss(vm: &mut Vm<'_>, args: JobId) -> Result<Nothing, Error> {
    let place = vm.jobs.iter().position(|job| job.id == args.id);
    let place = place.ok_or("Job not found")?;
    vm.jobs.remove(place);
    let data = json!({ "id": args.id, "status": "null" });
    vm.sessions.event("JOB_STATUS_CHANGE", Some(data));
    Ok(Nothing {})
}
