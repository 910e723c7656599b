//! The commands: the one table that names them. Its rows are in the order of the names that programs use, then of what people
//! type.

mod about;
mod boards;
mod chardevs;
mod devices;
mod disks;
mod help;
mod jobs;
mod keys;
mod memory;
mod migration;
mod run;
mod saved;
mod screen;
mod traces;

pub use about::own_version;
pub use boards::Wished;
pub use jobs::JobInfo;
pub use keys::names as key_names;
pub use migration::PARAMETERS;

use super::table::{Command, command, silent};

/// The commands.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    command!("", ["chardev-add"], "plug something into an empty slot for characters", chardevs::add_typed, chardevs::say_made),
    command!("", ["chardev-change"], "plug something else into a slot for characters", chardevs::change_typed, chardevs::say_made),
    command!("", ["cpu"], "look at the CPU with this number, as `info cpus` numbers them", run::cpu, silent),
    command!("", ["delvm"], "delete the snapshot NAME", saved::delete, silent),
    command!("", ["gva2gpa"], "print the physical address that a virtual one leads to", memory::translate, memory::say_translated),
    command!("", ["help", "?"], "show this, or what there is about one command, or the commands about a topic, which `help help` lists", help::help, help::say_lines),
    command!("", ["info"], "show what there is to know about WHAT; without it, about what that can be", help::info, help::say_lines),
    command!("", ["info cpus"], "the CPUs, with a mark at the one that is looked at", about::cpus_now, about::say_cpus),
    command!("", ["info device"], "what a device has in its registers", devices::device, devices::say_device),
    command!("", ["info irq"], "the lines between devices, with their levels now", devices::irq, devices::say_irq),
    command!("", ["info jit"], "what the engine of each CPU has done: blocks, bytes, tiers, hits, invalidations, time spent compiling", about::engines, about::say_engines),
    command!("", ["info migrate_capabilities"], "what a migration is to do", migration::capabilities, migration::say_capabilities),
    command!("", ["info migrate_parameters"], "what a migration may take", migration::parameters, migration::say_parameters),
    command!("", ["info mtree"], "what answers where, as the guest has it now", devices::mtree, devices::say_text),
    command!("", ["info network"], "what is plugged into the slots for networks", devices::network, devices::say_network),
    command!("", ["info pic"], "what interrupt controllers have in their registers", devices::pic, devices::say_text),
    command!("", ["info qtree"], "the devices by the buses they sit on, with their addresses, lines and properties", devices::qtree, devices::say_text),
    command!("", ["info registers"], "the registers of the CPU by groups, or those of these names and groups", memory::registers, memory::say_registers),
    command!("", ["info snapshots"], "the snapshots that there are", saved::list, saved::say_list),
    command!("", ["info time"], "guest time since power-on", about::time, about::say_time),
    command!("", ["info tlb"], "what the TLB of the CPU has", memory::tlb, memory::say_tlb),
    command!("", ["info trace"], "the points that can be traced, and whether they are", traces::list, traces::say_list),
    command!("", ["loadvm"], "go on from the snapshot NAME", saved::load, silent),
    command!("", ["migrate"], "have the machine go on elsewhere: at file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:N", migration::migrate, silent),
    command!("", ["migrate_set_capability"], "set whether a migration is to do something", migration::set_capability, silent),
    command!("", ["migrate_set_parameter"], "set what a migration may take", migration::set_parameter, silent),
    command!("", ["print", "p"], "print a number: an expression with registers, such as $sp+16", memory::print, memory::say_printed),
    command!("", ["qom-set"], "set a property of a device", devices::qom_set_typed, silent),
    command!("", ["savevm"], "save the machine as the snapshot NAME", saved::save, silent),
    command!("", ["sendkey"], "press keys of the board's keyboard together, and let them go: ctrl-alt-delete", keys::send_typed, silent),
    command!("", ["trace"], "trace points from now on, or no longer", traces::trace, silent),
    command!("", ["x"], "print memory by virtual address: /4xw is four words in hexadecimal", memory::logical, memory::say_dumped),
    command!("", ["xp"], "print memory by physical address: /4xw is four words in hexadecimal", memory::physical, memory::say_dumped),
    command!("blockdev-change-medium", ["change"], "put another disc into a drive", disks::change_medium, silent),
    command!("chardev-add", [], "plug something into an empty slot for characters", chardevs::add),
    command!("chardev-change", [], "plug something else into a slot for characters", chardevs::change),
    command!("chardev-remove", ["chardev-remove"], "take out what is plugged into a slot for characters", chardevs::remove, silent),
    command!("chardev-send-break", ["chardev-send-break"], "send a break condition to a slot for characters", chardevs::send_break, silent),
    command!("cont", ["cont", "c"], "let the machine go on", run::cont, silent),
    command!("device-list-properties", [], "the properties of a type of devices", devices::device_list_properties),
    command!("eject", ["eject"], "take the disc out of a drive", disks::eject, silent),
    command!("human-monitor-command", [], "carry out a line as a person types it", help::human_monitor_command),
    command!("inject-nmi", ["nmi"], "give every CPU a non-maskable interrupt", run::nmi, silent),
    command!("job-dismiss", [], "forget a job that has come to its end", jobs::dismiss),
    command!("memsave", ["memsave"], "write memory to a file, by virtual address", memory::memsave, silent),
    command!("migrate", [], "have the machine go on elsewhere", migration::migrate_detached),
    command!("migrate-incoming", ["migrate_incoming"], "wait for a machine that comes from another program, where there is none yet", migration::incoming, silent),
    command!("migrate-set-capabilities", [], "set what a migration is to do", migration::set_capabilities),
    command!("migrate-set-parameters", [], "set what a migration may take", migration::set_parameters),
    command!("migrate_cancel", ["migrate_cancel"], "have the machine stay here after all", migration::cancel, silent),
    command!("pmemsave", ["pmemsave"], "write memory to a file, by physical address", memory::pmemsave, silent),
    command!("qom-get", ["qom-get"], "a property of a device", devices::qom_get, devices::say_value),
    command!("qom-list", ["qom-list"], "the devices, or the properties of one", devices::qom_list, devices::say_properties),
    command!("qom-list-types", [], "the types of devices", devices::qom_list_types),
    command!("qom-set", [], "set a property of a device", devices::qom_set),
    command!("query-block", ["info block"], "the disks and drives, and what is in them", disks::blocks, disks::say_blocks),
    command!("query-chardev", ["info chardev"], "what is plugged into the slots for characters", devices::chardevs, devices::say_chardevs),
    command!("query-commands", [], "the names of the commands", about::commands),
    command!("query-cpus-fast", [], "the CPUs", about::cpus_fast),
    command!("query-current-machine", [], "what the machine can do", about::current_machine),
    command!("query-jobs", [], "what programs have started, and what became of it", jobs::jobs),
    command!("query-kvm", [], "whether KVM executes the guest: never", about::kvm),
    command!("query-machines", ["info boards"], "the boards that come with the program", about::machines, about::say_machines),
    command!("query-memory-size-summary", ["info memory_size_summary"], "how much memory the machine has", about::memory_size, about::say_memory_size),
    command!("query-migrate", ["info migrate"], "how far a migration is, or what became of the last", migration::migration, migration::say_migration),
    command!("query-migrate-capabilities", [], "what a migration is to do", migration::capabilities),
    command!("query-migrate-parameters", [], "what a migration may take", migration::parameters),
    command!("query-name", [], "the machine's name", about::name),
    command!("query-named-block-nodes", [], "what is in disks and drives", disks::nodes),
    command!("query-pci", ["info pci"], "the functions on PCI buses", devices::pci, devices::say_pci),
    command!("query-qmp-schema", [], "the commands, their arguments and their answers", help::schema),
    command!("query-status", ["info status"], "whether the machine runs", run::status, run::say_status),
    command!("query-version", ["info version"], "the version of this program", about::version, about::say_version),
    command!("quit", ["quit", "q"], "end the program", run::quit, silent),
    command!("screendump", ["screendump"], "write what is on the screen to a file, as PPM or PNG", screen::dump, silent),
    command!("send-key", [], "press keys of the board's keyboard together, and let them go", keys::send),
    command!("snapshot-delete", [], "delete a snapshot, as a job", jobs::delete),
    command!("snapshot-load", [], "go on from a snapshot, as a job", jobs::load),
    command!("snapshot-save", [], "save the machine as a snapshot, as a job", jobs::save),
    command!("stop", ["stop", "s"], "have the machine stand still", run::stop, silent),
    command!("system_powerdown", ["system_powerdown"], "press the board's power button, for the guest to act on", run::powerdown, silent),
    command!("system_reset", ["system_reset"], "press the board's reset button", run::reset, silent),
    command!("x-check", [], "what is wrong with a board", boards::check),
    command!("x-explain", [], "where a value of a board comes from", boards::explain),
    command!("x-layout", [], "what the machine of a board saves", boards::layout),
    command!("x-machine-create", [], "make the machine of a program that was started without one, and have it run", boards::create),
    command!("x-plan", [], "a board with everything resolved", boards::plan),
    command!("x-query-ramblock", ["info ramblock"], "the blocks of memory", memory::blocks, memory::say_blocks),
];
