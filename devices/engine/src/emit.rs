//! Generated code in the making: the blocks of a guest become host code by its templates, with what all guests need around
//! them.
//!
//! What is frequent is generated. Everything else, and every case that is not quickly done, calls the interpreter for the one
//! instruction, so that there is one meaning of each. The call names a [`Site`]: which instruction it is, at which place of a block.
//! That is all an exception needs to be precise, as registers are written back before the call, and a block takes its
//! instructions from the budget when it is entered and gives back those that it does not execute.
//!
//! The address of a page is in the CPU, not in its code, which is the same wherever the page is mapped. Blocks jump to one
//! another directly within a page, and anywhere where an address says what the physical one is ([`Isa::direct`](crate::Isa::direct)); all other ways go
//! through the table of code pages in the [`Vcpu`](crate::Vcpu).

use crate::asm::{Asm, Src};
use crate::frame::Homes;
use crate::generate::{Link, Member, Place, To, Ways};
use crate::host::{
    Assembler, Binary, If, Label, Mem, Operand, Reg, Size, T0, T1, T2, TableJump, Width,
};
use crate::isa::{Straight, Templates};

/// An instruction that generated code may leave to the interpreter.
#[derive(Debug)]
pub struct Site<Op> {
    pub op: Op,
    /// Instructions of its block.
    pub len: u32,
}

/// Where code goes on that the interpreter is asked for, and where it comes back.
#[derive(Debug, Clone, Copy)]
pub struct Slow {
    /// What jumps here is left to the interpreter.
    pub from: Label,
    back: Label,
    /// What it is asked for.
    what: u32,
    /// The host register and the displacement whose sum is the address of an access.
    address: (Reg, i32),
    /// The general register whose value is in [`T0`] where it comes back, although its place is in memory.
    held: Option<u8>,
    /// Where the conditions are kept that are to hold where it comes back.
    conditions: Option<Mem>,
}

impl Slow {
    /// The general register of this number has its value in [`T0`] when the template is done.
    pub fn holds(&mut self, register: u8) {
        self.held = Some(register);
    }

    /// The conditions are those that are kept in this place when the template is done: the interpreter keeps them there.
    pub fn conditions(&mut self, kept: Mem) {
        self.conditions = Some(kept);
    }

    /// What the interpreter is given with its question.
    pub fn with(&mut self, base: Reg, by: i32) {
        self.address = (base, by);
    }
}

/// Instructions that are not executed are given back behind the block.
struct Leave {
    from: Label,
    rest: u8,
}

/// What is left to the interpreter, or leads out, from the block that is `offset` into its page.
enum Cold {
    /// The interpreter does what the number says.
    Slow { slow: Slow, offset: i32 },
    /// The block is not executed: its instructions are given back, and this is gone to.
    Refuse {
        from: Label,
        len: u8,
        to: u32,
        offset: i32,
    },
    /// A jump to another block.
    Link { from: Label, to: To },
}

/// Computed jumps from blocks to one another.
#[derive(Debug, Clone, Copy)]
struct Jumps {
    /// For each unit from the first block to the last, how far it is to its code from the table.
    table: Label,
    /// Where it is elsewhere.
    others: Label,
}

/// The code of blocks in the making.
pub struct Emitter<'a, I: Templates<A>, A: Assembler> {
    pub asm: Asm<A>,
    /// What the templates know.
    pub known: I::Known,
    members: &'a [Member<I::Block>],
    /// Where the blocks start, by unit of the page.
    heads: Vec<(u16, Label)>,
    jumps: Option<Jumps>,
    /// What calls the interpreter, if the stub for that does not do.
    slow: Option<Label>,
    usual: Homes,
    /// Bytes and instructions of the block that is emitted.
    bytes: u32,
    len: u8,
    place: &'a mut Place<'a>,
    ways: &'a Ways,
    sites: &'a mut Vec<Site<I::Op>>,
    /// What is emitted at the far end.
    cold: Vec<Cold>,
    leaves: Vec<Leave>,
    links: Vec<Link>,
    /// Where the blocks are entered from elsewhere.
    entries: Vec<Label>,
    /// The unit where the next block to emit starts.
    next: Option<u16>,
}

/// What was emitted.
pub struct Made<A> {
    pub asm: Asm<A>,
    pub links: Vec<Link>,
    pub entries: Vec<Label>,
}

/// Emits blocks, in the order of their places: those of a loop jump to one another directly, and have the general registers that
/// they use most in host registers.
pub fn emit<'a, I: Templates<A>, A: Assembler>(
    core: &I::Core,
    members: &'a [Member<I::Block>],
    place: &'a mut Place<'a>,
    ways: &'a Ways,
    sites: &'a mut Vec<Site<I::Op>>,
    homes: Option<Homes>,
) -> Made<A> {
    let frame = const { &I::FRAME };
    let usual = Homes::usual(frame, A::HOMES.len());
    let homes = homes.unwrap_or(usual);
    let mut asm = Asm::<A>::new(frame, homes);
    let heads = members.iter().map(|m| (m.unit, asm.label())).collect();
    let slow = (homes != usual).then(|| asm.label());
    let mut emitter = Emitter::<I, A> {
        known: I::known(core),
        members,
        heads,
        slow,
        usual,
        jumps: None,
        asm,
        bytes: 0,
        len: 0,
        place,
        ways,
        sites,
        cold: Vec::new(),
        leaves: Vec::new(),
        links: Vec::new(),
        entries: Vec::new(),
        next: None,
    };
    emitter.emit();
    Made {
        asm: emitter.asm,
        links: emitter.links,
        entries: emitter.entries,
    }
}

impl<'a, I: Templates<A>, A: Assembler> Emitter<'a, I, A> {
    fn emit(&mut self) {
        self.enter();
        let members = self.members;
        for (n, member) in members.iter().enumerate() {
            self.next = members.get(n + 1).map(|next| next.unit);
            self.asm.weight = 4_u64.pow(member.depth.min(8));
            self.member(member, n);
        }
        self.asm.far();
        for cold in std::mem::take(&mut self.cold) {
            self.cold(cold);
        }
        if let Some(jumps) = self.jumps {
            self.jumps(jumps);
        }
        if let Some(label) = self.slow {
            self.asm.bind(label);
            let (frame, homes, after) = (self.asm.frame, self.asm.homes, self.ways.after);
            self.asm.slow(frame, &homes, after);
        }
    }

    /// Emits the ways into the blocks.
    fn enter(&mut self) {
        if self.asm.homes == self.usual {
            self.entries = self.heads.iter().map(|(_, label)| *label).collect();
            return;
        }
        for (_, head) in self.heads.clone() {
            let entry = self.asm.label();
            self.asm.bind(entry);
            self.entries.push(entry);
            self.change_homes(self.usual, self.asm.homes);
            self.asm.jump(head);
        }
    }

    /// Has other general registers in host registers.
    fn change_homes(&mut self, from: Homes, to: Homes) {
        let frame = self.asm.frame;
        let changes = || {
            let pairs = from.pairs(A::HOMES).zip(to.pairs(A::HOMES));
            pairs.filter(|(from, to)| from != to)
        };
        for ((register, host), _) in changes() {
            self.asm.spill(frame, register, host);
        }
        for (_, (register, host)) in changes() {
            self.asm.fill(frame, register, host);
        }
    }

    /// Has the general registers where they usually are, as they must be when others are gone to.
    fn usual_homes(&mut self) {
        self.change_homes(self.asm.homes, self.usual);
    }

    fn member(&mut self, member: &'a Member<I::Block>, n: usize) {
        let block = &member.block;
        (self.bytes, self.len) = (block.bytes(), block.instructions());
        self.place.here.unit = member.unit;
        I::begin(self, block);
        if let Some((_, head)) = self.heads.get(n) {
            self.asm.bind(*head);
        }
        I::body(self, block);
        let again = match member.depth {
            0 => None,
            _ => I::again(self, block),
        };
        match again {
            Some(known) => self.go_round(block, known),
            None => I::end(self, block),
        }
        for Leave { from, rest } in std::mem::take(&mut self.leaves) {
            self.asm.bind(from);
            self.asm.give_back(rest);
            self.go(self.bytes);
        }
    }

    /// Emits the end of a block that leads to itself, and the block once more for all executions but the first, of which more
    /// is known.
    fn go_round(&mut self, block: &I::Block, known: I::Known) {
        let (again, past) = (self.asm.label(), self.asm.label());
        let taken = I::condition(self, block);
        self.asm.jump_if(!taken, past);
        self.asm.bind(again);
        self.known = known;
        I::body(self, block);
        let taken = I::condition(self, block);
        self.asm.jump_if(taken, again);
        self.asm.bind(past);
        self.tell(I::told(self, block));
        self.end_at(self.bytes);
    }

    /// Bytes from the start of the page to the block.
    fn offset(&self) -> u32 {
        u32::from(self.place.here.unit) << I::UNIT_BITS
    }

    /// Takes the instructions of the block from the budget, or leaves it.
    pub fn take(&mut self) {
        let from = self.asm.label();
        self.asm.take(self.len);
        self.asm.jump_if(If::Less, from);
        self.refuse(from, self.len, self.ways.budget);
    }

    /// What jumps to this label has the block be interpreted. Only before [`Emitter::take`].
    pub fn interpret(&mut self, from: Label) {
        self.refuse(from, 0, self.ways.interpret);
    }

    fn refuse(&mut self, from: Label, len: u8, to: u32) {
        self.cold.push(Cold::Refuse {
            from,
            len,
            to,
            offset: self.offset().cast_signed(),
        });
    }

    fn cold(&mut self, cold: Cold) {
        match cold {
            Cold::Slow { slow, offset } => {
                self.asm.bind(slow.from);
                match slow.address {
                    (base, 0) => self.asm.set(T0, Src::Reg(base)),
                    (base, by) => self.asm.add_number(T0, base, by),
                }
                self.call(slow.what, offset);
                if let Some(kept) = slow.conditions {
                    self.asm.take_conditions(kept);
                }
                if let Some(register) = slow.held {
                    let held = self.asm.src(register);
                    self.asm.set(T0, held);
                }
                self.asm.jump(slow.back);
            }
            Cold::Refuse {
                from,
                len,
                to,
                offset,
            } => {
                self.asm.bind(from);
                if len != 0 {
                    self.asm.give_back(len);
                }
                self.usual_homes();
                self.number(T0, offset);
                self.asm.jump_out(to);
            }
            Cold::Link { from, to } => {
                self.asm.bind(from);
                self.link(to);
            }
        }
    }

    fn number(&mut self, to: Reg, value: i32) {
        self.asm.mov(Width::W32, to, Operand::Imm(value));
    }

    /// Has the interpreter execute an instruction of the block.
    pub fn leave_to_interpreter(&mut self, op: I::Op) {
        let site = self.site(op);
        self.call(site, self.offset().cast_signed());
    }

    fn site(&mut self, op: I::Op) -> u32 {
        self.sites.push(Site {
            op,
            len: self.len.into(),
        });
        self.sites.len() as u32 - 1
    }

    /// Has the interpreter do what the number says, for the block at the offset.
    fn call(&mut self, what: u32, offset: i32) {
        self.number(T2, what.cast_signed());
        self.number(T1, offset);
        match self.slow {
            Some(label) => self.asm.call(label),
            None => self.asm.call_out(self.ways.slow),
        }
    }

    /// A way to the interpreter for an instruction, and back behind what is generated for it.
    pub fn slow(&mut self, op: I::Op) -> Slow {
        let site = self.site(op);
        self.way(site)
    }

    /// A way to the interpreter and back, with what it is asked for: see [`Isa::missed`](crate::Isa::missed).
    pub fn way(&mut self, what: u32) -> Slow {
        Slow {
            from: self.asm.label(),
            back: self.asm.label(),
            what,
            address: (T0, 0),
            held: None,
            conditions: None,
        }
    }

    /// Where an instruction ends that the interpreter may be asked for.
    pub fn back(&mut self, slow: Slow) {
        self.asm.bind(slow.back);
        if let Some(register) = slow.held {
            self.asm.hold(register);
        }
        let offset = self.offset().cast_signed();
        self.cold.push(Cold::Slow { slow, offset });
    }

    /// Goes on behind the block, giving back the instructions behind the one at a place in it, unless a condition holds.
    pub fn leave_unless(&mut self, condition: If, at: u8) {
        let from = self.asm.label();
        self.asm.jump_if(!condition, from);
        let rest = self.len - at - 1;
        self.leaves.push(Leave { from, rest });
    }

    /// Goes on at the address in [`T0`], which is most often one of the blocks that are emitted, if the jump is a `computed` one.
    pub fn jump_to_address(&mut self, computed: bool) {
        let (Some((first, _)), Some((last, _))) = (self.heads.first(), self.heads.last()) else {
            return;
        };
        let (first, units) = (*first, last - first);
        if !computed || units == 0 {
            self.look_up_code();
            return;
        }
        let Jumps { table, others } = *self.jumps.get_or_insert_with(|| Jumps {
            table: self.asm.label(),
            others: self.asm.label(),
        });
        let frame = self.asm.frame;
        self.asm.jump_by_table(&TableJump {
            width: frame.width,
            page: Mem::field(frame.pc),
            unit_bits: I::UNIT_BITS,
            first,
            units,
            table,
            others,
        });
    }

    /// Emits the table of what computed jumps lead to, and the way to what is not in it.
    fn jumps(&mut self, Jumps { table, others }: Jumps) {
        self.asm.bind(others);
        self.look_up_code();
        self.asm.bind(table);
        let heads = self.heads.clone();
        let mut next = heads.first().map_or(0, |head| head.0);
        for (unit, head) in heads {
            for _ in next..unit {
                self.asm.distance(others, table);
            }
            self.asm.distance(head, table);
            next = unit + 1;
        }
    }

    /// Gives a register its value, where a branch is not taken.
    fn tell(&mut self, told: Option<(u8, i32)>) {
        if let Some((register, value)) = told {
            self.asm.put_imm(register, value);
        }
    }

    /// Ends the block: goes to an offset from its start if a condition holds, else to what follows it, where a register is given a
    /// value: see [`Templates::told`].
    pub fn branch(&mut self, condition: If, taken: u32, told: Option<(u8, i32)>) {
        let Some(to) = self.beside(taken) else {
            let from = self.asm.label();
            self.asm.jump_if(condition, from);
            self.tell(told);
            self.go(self.bytes);
            self.asm.bind(from);
            self.go(taken);
            return;
        };
        let past = self.beside(self.bytes);
        let past = past.and_then(|past| self.head(past));
        if let Some(head) = self.head(to) {
            if let Some(past) = past
                && self.next == Some(to.unit)
                && self.leaves.is_empty()
                && told.is_none()
            {
                self.asm.jump_if(!condition, past);
                return;
            }
            self.asm.jump_if(condition, head);
        } else if self.asm.homes == self.usual {
            let unknown = self.ways.unknown(to.unit);
            let site = self.asm.jump_out_if(condition, unknown);
            self.links.push(Link { site, to });
        } else {
            let from = self.asm.label();
            self.asm.jump_if(condition, from);
            self.cold.push(Cold::Link { from, to });
        }
        self.tell(told);
        self.end_at(self.bytes);
    }

    fn beside(&self, offset: u32) -> Option<To> {
        self.place.here.beside(offset, I::UNIT_BITS)
    }

    /// Where the code of a block starts, if it is one of those that are emitted.
    fn head(&self, to: To) -> Option<Label> {
        if to.home != self.place.here.home || to.kind != self.place.here.kind {
            return None;
        }
        let mut heads = self.heads.iter();
        heads.find(|(unit, _)| *unit == to.unit).map(|h| h.1)
    }

    /// Ends the block: goes on at an offset from its start, where its code ends.
    pub fn end_at(&mut self, offset: u32) {
        let to = self.beside(offset);
        let follows = to.is_some_and(|to| self.next == Some(to.unit));
        if !follows || !self.leaves.is_empty() {
            self.go(offset);
        }
    }

    /// The address at an offset from the start of the block, in a host register.
    pub fn address_of(&mut self, to: Reg, offset: u32) {
        let offset = self.offset().wrapping_add(offset);
        let pc = self.asm.frame.pc;
        self.asm.get_field(to, pc);
        self.asm.op(Binary::Add, to, Src::Imm(offset.cast_signed()));
        I::wrap(self, to);
    }

    /// Goes on at an offset from the start of the block.
    fn go(&mut self, offset: u32) {
        if let Some(to) = self.beside(offset) {
            self.link(to);
        } else if let Some(to) = self.direct_at(offset) {
            let by = self.offset().wrapping_add(offset) & !0xfff;
            // The page may be seen at several addresses, and the next one is next to it at each.
            let (width, pc) = (self.asm.frame.width, self.asm.frame.pc);
            self.asm
                .binary_at(width, Binary::Add, Mem::field(pc), by.cast_signed());
            self.link(to);
        } else {
            self.address_of(T0, offset);
            self.look_up_code();
        }
    }

    /// What is at an offset from the block, where the address of its page says so.
    fn direct_at(&mut self, offset: u32) -> Option<To> {
        let block = self.place.direct?.wrapping_add(self.offset().into());
        let by = i64::from(offset.cast_signed());
        (self.place.find)(block.wrapping_add_signed(by))
    }

    /// The address of the page of the block, if it says what the physical address is.
    pub fn direct(&self) -> Option<u64> {
        self.place.direct
    }

    /// Goes to an address that is known and says what the physical one is, if there is memory: ends the block.
    pub fn go_direct(&mut self, va: u64) -> bool {
        let Some(to) = (self.place.find)(va) else {
            return false;
        };
        let (page, pc) = (va & !0xfff, self.asm.frame.pc);
        match i32::try_from(page.cast_signed()) {
            _ if self.asm.frame.width == Width::W32 => {
                self.asm.store_imm(Size::B4, page as i32, Mem::field(pc));
            }
            Ok(page) => self.asm.store_imm(Size::B8, page, Mem::field(pc)),
            Err(_) => {
                self.asm.mov_wide(T0, page);
                self.asm.put_field(pc, T0);
            }
        }
        self.link(to);
        true
    }

    /// Goes on at the address in [`T0`].
    pub fn look_up_code(&mut self) {
        self.usual_homes();
        let (frame, fetch) = (self.asm.frame, self.ways.fetch);
        self.asm.look_up(frame, fetch);
    }

    fn link(&mut self, to: To) {
        if let Some(head) = self.head(to) {
            self.asm.jump(head);
            return;
        }
        self.usual_homes();
        let site = self.asm.jump_out(self.ways.unknown(to.unit));
        self.links.push(Link { site, to });
    }
}
