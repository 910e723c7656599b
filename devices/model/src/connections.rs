//! One list of what a device connects to, for its interface and for its own code.

/// Declares a device's regions, ports, pins and slots: a function from the properties to the
/// [`Interface`](crate::Interface) that has them, and for each a constant by which the device knows it. Their numbers
/// follow from the list, so that what the device calls `IRQ` is what a board wires by its name.
///
/// | entry | constant |
/// | --- | --- |
/// | `region NAME = Region;` | a [`RegionId`](crate::RegionId) |
/// | `region NAME = Region, if CONDITION;` | the same; without the condition it is not there, and the others keep their numbers |
/// | `port NAME = Port;` | a [`PortId`](crate::PortId) |
/// | `input NAME = Pins;`, `output NAME = Pins;` | a [`Pin`](crate::Pin) |
/// | `input NAME[COUNT] = Pins;`, the same for `output` | the first of so many; [`Pin::nth`](crate::Pin::nth) is another |
/// | `input NAME[] = Pins;`, the same for `output` | the first of as many as the value has, if any: the last of the inputs |
/// | `slot NAME = Slot;` | a [`SlotId`](crate::SlotId) |
/// | `slot NAME[] = Slots;` | the first of as many as the value has: the last of the slots |
///
/// ```
/// use solderless_model::{BusKind, Pin, Pins, Region, connections};
///
/// struct Props {
///     extended: bool,
/// }
///
/// connections! {
///     fn connections(props: &Props) on BusKind::Isa;
///     region DATA = Region::ports("data", 1);
///     region EXTENDED = Region::ports("extended", 2), if props.extended;
///     region COMMAND = Region::ports("command", 1);
///     output IRQ[8] = Pins::named("irq");
///     output A20 = Pins::named("a20").optional();
/// }
///
/// let interface = connections(&Props { extended: false });
/// assert_eq!(interface.region(COMMAND).unwrap().name, "command");
/// assert_eq!(interface.region(EXTENDED), None);
/// assert_eq!((IRQ.nth(7), A20), (Pin(7), Pin(8)));
/// ```
///
/// Behind a group whose size the properties decide there is nothing of its kind, as it would have no number:
///
/// ```compile_fail
/// use solderless_model::{BusKind, Pins, connections};
///
/// connections! {
///     fn connections(count: u16) on BusKind::Isa;
///     output IRQ[] = Pins::named("irq").count(count);
///     output A20 = Pins::named("a20");
/// }
/// ```
#[macro_export]
macro_rules! connections {
    ($vis:vis fn $name:ident($props:tt: $ty:ty) on $bus:expr; $($entries:tt)*) => {
        $vis fn $name($props: $ty) -> $crate::Interface {
            $crate::connections!(@interface ($crate::Interface::on($bus)) $($entries)*)
        }
        $crate::connections!(@regions (0) $($entries)*);
        $crate::connections!(@ports (0) $($entries)*);
        $crate::connections!(@inputs (0) $($entries)*);
        $crate::connections!(@outputs (0) $($entries)*);
        $crate::connections!(@slots (0) $($entries)*);
    };

    (@interface ($made:expr)) => { $made };
    (@interface ($made:expr) region $name:ident = $region:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_region($name, Some($region))) $($rest)*)
    };
    (@interface ($made:expr) region $name:ident = $region:expr, if $there:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_region($name, ($there).then(|| $region))) $($rest)*)
    };
    (@interface ($made:expr) port $name:ident = $port:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_port($port)) $($rest)*)
    };
    (@interface ($made:expr) input $name:ident[] = $pins:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_inputs($pins)) $($rest)*)
    };
    (@interface ($made:expr) input $name:ident $([$count:expr])? = $pins:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_inputs($pins $(.count($count))?)) $($rest)*)
    };
    (@interface ($made:expr) output $name:ident[] = $pins:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_outputs($pins)) $($rest)*)
    };
    (@interface ($made:expr) output $name:ident $([$count:expr])? = $pins:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_outputs($pins $(.count($count))?)) $($rest)*)
    };
    (@interface ($made:expr) slot $name:ident[] = $slots:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_slots($slots)) $($rest)*)
    };
    (@interface ($made:expr) slot $name:ident = $slot:expr; $($rest:tt)*) => {
        $crate::connections!(@interface ($made.with_slots([$slot])) $($rest)*)
    };

    (@constant $name:ident $id:ident $number:expr) => {
        #[allow(dead_code, reason = "a device need not look at all that it has")]
        const $name: $crate::$id = $crate::$id($number);
    };

    (@regions ($next:expr)) => {};
    (@regions ($next:expr) region $name:ident = $what:expr $(, if $there:expr)?; $($rest:tt)*) => {
        $crate::connections!(@constant $name RegionId $next);
        $crate::connections!(@regions ($name.0 + 1) $($rest)*);
    };
    (@regions ($next:expr) $other:ident $name:ident $([$($count:expr)?])? = $what:expr $(, if $there:expr)?; $($rest:tt)*) => {
        $crate::connections!(@regions ($next) $($rest)*);
    };

    (@ports ($next:expr)) => {};
    (@ports ($next:expr) port $name:ident = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name PortId $next);
        $crate::connections!(@ports ($name.0 + 1) $($rest)*);
    };
    (@ports ($next:expr) $other:ident $name:ident $([$($count:expr)?])? = $what:expr $(, if $there:expr)?; $($rest:tt)*) => {
        $crate::connections!(@ports ($next) $($rest)*);
    };

    (@inputs ($next:expr)) => {};
    (@inputs ($next:expr) input $name:ident = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name Pin $next);
        $crate::connections!(@inputs ($name.0 + 1) $($rest)*);
    };
    (@inputs ($next:expr) input $name:ident[] = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name Pin $next);
        $crate::connections!(@inputs (nothing_comes_behind_a_group_of_any_size) $($rest)*);
    };
    (@inputs ($next:expr) input $name:ident[$count:expr] = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name Pin $next);
        $crate::connections!(@inputs ($name.0 + $count) $($rest)*);
    };
    (@inputs ($next:expr) $other:ident $name:ident $([$($count:expr)?])? = $what:expr $(, if $there:expr)?; $($rest:tt)*) => {
        $crate::connections!(@inputs ($next) $($rest)*);
    };

    (@outputs ($next:expr)) => {};
    (@outputs ($next:expr) output $name:ident = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name Pin $next);
        $crate::connections!(@outputs ($name.0 + 1) $($rest)*);
    };
    (@outputs ($next:expr) output $name:ident[] = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name Pin $next);
        $crate::connections!(@outputs (nothing_comes_behind_a_group_of_any_size) $($rest)*);
    };
    (@outputs ($next:expr) output $name:ident[$count:expr] = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name Pin $next);
        $crate::connections!(@outputs ($name.0 + $count) $($rest)*);
    };
    (@outputs ($next:expr) $other:ident $name:ident $([$($count:expr)?])? = $what:expr $(, if $there:expr)?; $($rest:tt)*) => {
        $crate::connections!(@outputs ($next) $($rest)*);
    };

    (@slots ($next:expr)) => {};
    (@slots ($next:expr) slot $name:ident = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name SlotId $next);
        $crate::connections!(@slots ($name.0 + 1) $($rest)*);
    };
    (@slots ($next:expr) slot $name:ident[] = $what:expr; $($rest:tt)*) => {
        $crate::connections!(@constant $name SlotId $next);
        $crate::connections!(@slots (nothing_comes_behind_a_group_of_any_size) $($rest)*);
    };
    (@slots ($next:expr) $other:ident $name:ident $([$($count:expr)?])? = $what:expr $(, if $there:expr)?; $($rest:tt)*) => {
        $crate::connections!(@slots ($next) $($rest)*);
    };
}
