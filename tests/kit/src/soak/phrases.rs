//! Steps that lead somewhere: what a person would write to bring machines into states that chance alone seldom finds.

use rand_chacha::ChaCha12Rng;
use rand_core::RngCore;

use super::step::Step;

/// Each as the text of its steps. A `*` stands for any number, a `/` for a choice among numbers; see
/// [`What`](super::What) for what they mean, and [`Talk`](crate::fuzz::talk) for what the mischief-maker says.
const PHRASES: &[&str] = &[
    // Calls and messages through the server, with every device of the one who is called.
    "enroll, wait 8, habit 0 4, habit 2 4, call 0 1 1, wait 8, inside, wait 6, hang-up, wait 8",
    "enroll, wait 8, habit 0 2, habit 1 2, habit 2 2, call 3 0/2 1, wait 7, ring 0 1 1, accept 0 1, wait 7, hang-up, wait 8",
    "enroll, wait 8, call 2 1 *, wait 3/7, hang-up, wait 8",
    "enroll, wait 8, message 0 1, message 3 0, message 2 1, message 1 0, wait 8",
    "register 0, register 3, wait 7, message 0 1, wait 4, restart *, message 3 0, wait 10",
    // Between peers.
    "habit 4 4, call 4 1 *, wait 8, inside * *, wait 6, hang-up, wait 8",
    "habit 3 0/1/2/3/5/6/7 0/1/2/3/4, call 6 0 *, message 6 0, wait 7, ring, accept 0 1, wait 7, message 4 1, hang-up, wait 7",
    "message 5 3, message 7 2, wait 8, call 5 3 1, wait 8, hang-up, wait 7",
    "create 4 1/4, establish 0 1, wait 7, hang-up, wait 8",
    "message 4 6, message 6 0/6, wait 10",
    // The mischief-maker is called, and answers as it should, late, or more than once.
    "call 4 4 1, wait 7, reply 0 1, wait 6, reply 0 3 1, wait 7, inside, wait 5, hang-up, wait 5, reply 1 10, wait 5, reply 0 3, wait 6",
    "call 4 4 1, wait 7, reply 0 3 1, wait 5, reply 0 3 5, wait 6, reply 0 3 1, wait 6, hang-up, wait 6, reply 0 3, reply 1 3, reply 2 3, wait 7",
    "call 4 4 1, wait 7, reply 0 1, reply 0 1 4, wait 5, hang-up, wait 5, reply 1 3/12/1 1, wait 6, reply 0 3, wait 6, reply 0 3, wait 12",
    "habit 3 0/8, call 4 4 0, wait 7, reply 0 3 1, wait 5, reply 0 3 1, ask 0 1 2, ask 0 2 2, wait 7",
    "habit 3 8, call 4 4 0, wait 7, reply 0 3 1, wait 5, ask 0 1 2, wait 12, wait 10, answer, wait 7",
    "habit 3 8, call 4 4 0, wait 7, reply 0 3 1, wait 5, answer, wait 5, reply 1 3 1, ask 0 6 2, wait 6, ask 0 2 2, wait 6",
    "call 4 4 1, wait 7, reply 0 1, wait 5, ask 0 1 2, ask 0 2 2, wait 5, hang-up, wait 5, ask 0 1 2, ask 0 2 2, wait 12",
    "call 4/6 4 *, wait 7, reply 0 5/6/9/11/13/14/15 *, wait 8, reply 0 3, wait 8",
    "call 4 4 1, wait 5, misbehave 0 0/1, wait 8",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, inside, wait 6, reply 0 10, wait 6",
    "call 4 4 1, wait 14, wait 12, wait 12",
    "call 4 4 1, wait 7, reply 0 1, wait 14, wait 12, wait 12",
    "call 4 4 1, wait 6, reply 0 11, wait 4, reply 0 3 1, wait 5, reply 0 11, wait 7",
    // It calls.
    "habit 3 1, dial, wait 6, ask 0 0, wait 1, ask 0 0 8, ask 0 1 7, wait 3, ask 0 3 7, wait 6, ask 0 1 7, wait 7",
    "habit 3 2, dial, wait 6, ask 0 0 1, wait 5, ask 0 0 8, ask 0 1 7, ask 0 1 2, ask 0 2 2, wait 5, ring, ask 0 3 7, wait 6",
    "habit 3 1/2, dial, wait 6, ask 0 0 *, wait 2/6, misbehave 0 1, wait 1/3/6, ring 0 0/1, accept/reject 0 1, wait 12",
    "habit 3 4, dial, wait 6, ask 0 0 1, wait 5, ask 0 0 8, ask 0 1 7, wait 3, ask 0 3 7, wait 5, ask 0 2 2, wait 12",
    "habit 3 4, dial, wait 6, ask 0 0 1, wait 5, ask 0 1 5, wait 4, ask 0 6 2, ask 0 1 5, wait 4, ask 0 0 3, wait 4, ask 0 2 2, wait 7",
    "habit 3 4, dial, wait 6, ask 0 0 1, wait 5, hang-up, ask 0 1 5, wait 4, ask 0 1 5, ask 0 3 7, ask 0 2 2, wait 5, reply 0 3, wait 7",
    "habit 3 4, dial, wait 6, ask 0 0, wait 12, wait 8, reply 0 3/10, wait 8",
    "habit 3 4, dial, wait 6, ask 0 0 1, wait 4, ask 0 2 2, wait 7",
    "habit 3 3/5, dial, wait 6, ask 0 0, wait 5, ask 0 0 8, wait 4, ask 0 1 7, wait 12",
    "habit 3 2, dial, wait 6, ask 0 0 1, wait 14, wait 12",
    "call 4 4 1, wait 7, reply 0 3 1, wait 5, hang-up, wait 4, reply 1 3 1, wait 5, reply 0 3, wait 6",
    // Responses that are acknowledged, or not; a dialog that is early and changes.
    "habit 3 1, dial, wait 6, ask 0 0 10/11, wait 5, ring 0 0/1 0/1, wait 5, ring 0 1 1, ring 0 0 0, wait 4, ask 0 9 2/3, wait 5, ask 0 9 2, wait 4, accept 0 1, wait 5, ask 0 9 2, wait 4, ask 0 1 5, wait 5, ask 0 2 2, wait 8",
    "habit 3 1, dial, wait 6, ask 0 0 10/11, wait 5, ring 0 0 0, wait 5/7, accept 0 1, wait 4, ask 0 9 2, wait 4, ask 0 9 2, ask 0 1 5, wait 5, ask 0 2 2, wait 8",
    "habit 3 1, dial, wait 6, ask 0 0 10/11, wait 5, ring 0 0 0, wait 5, accept 0 1, wait 4, ask 0 1 5, wait 5, hang-up, wait 5, reply 0 3, wait 8",
    "habit 3 1, dial, wait 6, ask 0 0 10/11, wait 5, ring 0 1 0/1, wait 15, wait 12",
    "habit 3 1, dial, wait 6, ask 0 0 10/11, wait 5, ring 0 0 1, wait 4, accept 0 1, wait 4, hang-up/ask 0 3 7, wait 8",
    "habit 3 17, dial, wait 6, ask 0 0 11, wait 5, ring 0 1 1, wait 4, ask 0 9 2/3, wait 4, ask 0 8 3, wait 4, settle 0 0/3, accept 0 1, wait 5, ask 0 1 5, wait 5, hang-up, wait 5, reply 0 3, wait 7",
    "call 4 4 0/1, wait 7, reply 0 2 9, wait 5, reply 1 2/1 9/13, wait 4, answer, wait 5, reply 0 3, reply 1 3, wait 4, reply 2 3/2 1, wait 5, reply * 3 1, wait 6, hang-up, wait 6, reply 0 3, wait 7",
    "habit 3 8, call 4 4 0, wait 7, reply 0 2 9, wait 4, reply 0 2 9, wait 4, answer, wait 5, reply 0 3, reply 1 3 1, wait 5, hang-up, wait 6, reply 0 3, wait 8",
    "call 4 4 1, wait 7, reply 0 2 9, wait 5, reply 0 3, ask 0 8 3, wait 5, ask 0 8 2, wait 4, reply 1 3 1, wait 6, hang-up, wait 6, reply 0 3, wait 7",
    "habit 3/4 1, call 4/6 0/1 0/1, wait 7, ring 0 1 *, ring 0 1 *, wait 6, accept 0 */2/3, answer, wait 7, change 0 0, hang-up, wait 7",
    "habit 3 1, dial, wait 6, ask 0 0 10/11, wait 5, ring 0 1 2/3, wait 5, ring 0 1 *, wait 4, ask 0 9 2, wait 5, ask 0 3 7, accept 0 2/3, wait 5, ask 0 1 5, wait 5, ask 0 2 2, wait 8",
    "habit 4 2/6, call 4 1 0/1, wait 7, ring 0 1 1, wait 6, accept 0 1, answer, wait 7, hang-up, wait 7",
    "habit 3 1, dial, wait 6, ask 0 0 11, wait 5, ring 0 1 1, wait 4, change 0 1, ask 0 9 2, wait 4, reply 0 3/15/10 1, wait 6, accept 0 1, wait 5, ask 0 1 5, wait 5, hang-up, wait 5, reply 0 3, wait 7",
    "habit 3 1, dial, wait 6, ask 0 0 11, wait 5, ring 0 1 1, wait 4, ask 0 9 2, change 0 1, wait 4, ask 0 8 3, accept 0 1, wait 3, reply 0 3 1, ask 0 1 5, wait 5, ask 0 2 2, wait 8",
    "call 4 4 1, wait 7, change 0 6, reply 0 2 9, wait 5, reply 0 3/15/10 0/1, wait 5, reply 1 3 1, wait 6, hang-up, wait 6, reply 0 3, wait 7",
    "call 4 4 1, wait 7, change 0 6, reply 0 2 9, wait 5, ask 0 8 3, reply 1 3 1/5, wait 4, reply 0 3 1, wait 6, hang-up, wait 6, reply 0 3, wait 7",
    // Transfers: between peers, with the mischief-maker as who is asked, and as who asks.
    "habit 4 4 0/8/16/24, call 4 1 1, wait 8, refer 0 1/2/4/8, wait 8, refer 0 *, refer 0 *, wait 8, hang-up, wait 8",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, refer, refer, wait 5, reply 0 4, wait 5, report 0 0/1/4 0/1, wait 5, reply 0 4, report 0 2/3/5 *, wait 8, hang-up, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, refer, wait 5, report 0 0/1/2/3 *, wait 4, reply 0 4/15, wait 5, report 0 *, wait 8, hang-up, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, refer, wait 5, report 0 2/3/5, wait 4, reply 0 4, wait 5, hang-up, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, refer, wait 5, reply 0 4/15, wait 13, report, wait 5, hang-up, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, refer, wait 13, hang-up, wait 7",
    "habit 3 4 0/8/16/24, dial, wait 6, ask 0 0 1, wait 5, ask 0 1 5, wait 4, ask 0 10 2/3, wait 8, reply 0 3/10, wait 5, ask 0 10 2, wait 12, ask 0 2 2, wait 7",
    "habit 3 4 16, dial, wait 6, ask 0 0 1, wait 5, ask 0 1 5, wait 4, ask 0 10 2, wait 6/13, follow 3 0/1, wait 8, ask 0 2 2, wait 7",
    "habit 3 4 24, dial, wait 6, ask 0 0 1, wait 5, ask 0 1 5, wait 4, ask 0 10 2, wait 6, reply 0 3, wait 15, hang-up, hang-up, wait 8",
    // Redirections.
    "call 4/6 4 *, wait 7, reply 0 5, wait 8, reply 0 5/6/9/11/15, wait 8, reply 0 3, wait 8, hang-up, wait 7",
    "habit 4 5, call 4 1 1, wait 8, reply 0 1/3/11, wait 8, hang-up, wait 8",
    "call 4 4 1, wait 7, reply 0 5, wait 14, wait 12",
    // Session timers: with a peer that refreshes and one that does not, by the caller and by the callee.
    "habit 4 4, call 4 1 1, wait 8, wait 15, wait 15, hang-up, wait 8",
    "call 4 4 1, wait 7, reply 0 4 0, wait 6, wait 12, wait 11, wait 10, reply 0 10, wait 7, reply 0 3, wait 7",
    "call 4 4 1, wait 7, reply 0 4 0/8, wait 6, wait 12, wait 11, wait 10, reply 0 0/1/2/3/4/9/10/13, wait 12, wait 12, reply 0 3, wait 8",
    "call 4 4 1, wait 7, reply 0 4 0, wait 6, wait 12, wait 11, wait 10, reply 0 3, wait 6, ask 0 8 2, wait 6, inside, hang-up, wait 7, reply 0 3, wait 6",
    "call 4 4 1, wait 7, reply 0 4, wait 6, wait 12, wait 12, wait 12, reply 0 3/10/13, reply 1 3/10/13, wait 8",
    "call 4 4 1, wait 7, reply 0 4 8, wait 6, wait 12, ask 0 8 2, wait 13, ask 0 8 2, wait 5, reply 0 3, wait 8",
    "habit 3 4, dial, wait 6, ask 0 0 11, wait 5, ask 0 1 5, wait 4, ask 0 8 2, wait 12, wait 11, wait 10, reply 0 0/3/4/13, wait 6, ask 0 8 2, wait 12, wait 12, reply 0 3, wait 8",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 0/8, wait 6, reset 5, inside, wait 6, reply 0 3, reply 1 3, wait 6, reset 5, inside, wait 6, reply 0 3, reply 1 3, hang-up, wait 7, reply 0 3, wait 7",
    // Routes that a proxy has lost: a mischief-maker who says so.
    "call 4/6 4 1, wait 7, reply 0 3 1, wait 6, inside, inside, wait 5, reply 0 5 0, wait 4, reply 2 5 0/1/2, inside, wait 4, reply 0 3/10/13/5 0/2, wait 6, reply 0 3, reply 1 3, hang-up, wait 6, reply 0 3, wait 7",
    "call 4/6 4 1, wait 7, reply 0 3 1, wait 6, inside, inside, wait 5, reply 0 5 1/2, wait 4, reply 1 5 0/1/2, wait 4, reply 0 3/13, ask 0 8 2, wait 5, reply 0 3, hang-up, wait 6, reply 0 3, wait 7",
    "call 4/6 4 1, wait 7, reply 0 3 1, wait 6, inside, inside, inside, wait 5, reply 0 5 0, wait 4, reply 0 13, wait 2, reply 2 5 0/1/2, wait 4, reply 0 13, wait 9, reply 0 3, hang-up, wait 6, reply 0 3, wait 7",
    "call 4/6 4 1, wait 7, reply 0 3 1, wait 6, ask 0 8 2, inside, wait 5, reply 0 3, ask 0 8 2, wait 4, inside, wait 4, reply 0 5 2, wait 12, ask 0 8 2/3, wait 5, hang-up/ask 0 2 2, wait 6, reply 0 3, wait 7",
    "call 4 4 1, wait 7, reply 0 4 0, wait 6, inside, wait 4, reply 0 5 2, wait 12, wait 12, wait 12, wait 12, wait 12, wait 12, wait 12, reply 0 3, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, inside, wait 4, reply 0 5 0/2, wait 12, wait 12, wait 12, wait 12, wait 12, wait 12, wait 12, reply 0 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside, inside, wait 4, reply 0 5 1, reply 1 5 0/1/2, wait 9, reply 0 3, wait 6, reply 0 3, wait 4, hang-up, wait 7, reply 0 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside, wait 4, reply 0 5 1, ask 0 8 2, wait 7, reply 0 3, hang-up, wait 7, reply 0 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside, wait 4, reply 0 5 1, wait 3, hang-up, wait 7, reply 0 3, reply 1 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside, wait 4, reply 0 5 1, wait 12, wait 12, wait 12, wait 12, wait 12, wait 12, wait 12, reply 0 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside 0, wait 4, reply 0 5 0/2, wait 3, reply 0 13, inside 1, wait 3, reply 0 5 1, wait 9, reply 0 3, wait 6, reply 0 3, reply 1 3, hang-up, hang-up, wait 7, reply 0 3, reply 1 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside 0, wait 4, reply 0 5 1, wait 9, reply 0 3, wait 6, reply 0 3, reply 1 3, hang-up, hang-up, wait 7, reply 0 3, reply 1 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside, wait 4, reply 0 5 1, wait 12, wait 12, wait 12, wait 12, wait 11, reply 0 3, wait 12, wait 12, reply 0 3, wait 7",
    "habit 3 4, register 8, wait 7, reply 0 3, call 8 * 1, wait 7, reply 0 4 8, wait 6, inside, wait 4, reply 0 5 1, wait 13, wait 13, wait 10, reply 0 3, wait 12, wait 12, reply 0 3, wait 7",
    // Changes of a call: taken, refused, undecided, given up; two that meet; and what the mischief-maker does with them.
    "habit 3 4/36/52, habit 4 4/36/52, call 4 1 *, wait 8, change 0/1 0/1/2, wait 4/6, change 0/1 0/1/2, settle * 0/3, wait 7, hang-up, wait 8",
    "habit 3 4, habit 4 52, call 4 1 1, wait 8, change 0/1 0, wait 5, change 0/1 3, wait 6, change 0/1 0/1, wait 5, settle 0/1 0, change 0/1 0/1, wait 8, hang-up, wait 8",
    "habit 3 4/20, habit 4 4/20, call 4 1 1, wait 8, change 0 0/1, change 1 0/1, wait 8, change 0/1 *, wait 12, hang-up, wait 8",
    "habit 3 4/20, habit 4 4/20, call 4 1 1, wait 8, change 0 0/1, change 1 0/1, wait 5, change 0 3, change 1 3, hang-up, wait 8",
    "habit 3 52, habit 4 52, call 4 1 1, wait 8, change 0/1 0/1, wait 12/5, settle 0/1 *, hang-up, wait 12",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0, wait 5, reply 0 0/1, change 0 3, wait 5, reply 0 3/12 1, reply 1 3/12 1, wait 6, hang-up, wait 6, reply 0 3, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0/1, wait 5, reply 0 15/10/11/13/3 1, wait 7, reply 0 15/3 1, wait 7, hang-up, wait 6, reply 0 3, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0/1, wait 5, reply 0 15, wait 5, change 0 3, hang-up, wait 6, reply 0 3, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0/1, wait 13, wait 12",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0, wait 5, reply 0 1, wait 15, wait 12, reply 0 12, wait 12",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0/1, wait 5, ask 0 0/8 2/3, wait 5, hang-up/change 0 3, wait 5, reply 1 3 1, wait 6, reply 0 3, wait 7",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0/1, wait 5, ask 0 2 2, wait 6, reply 1 3 1, wait 6",
    "call 4 4 1, wait 7, reply 0 3 1, wait 6, change 0 0, wait 5, reply 0 0, wait 5, change 0 3, wait 5, hang-up/ask 0 2 2, wait 6, reply 0 3, wait 8",
    "habit 3 52, call 4 4 1, wait 7, reply 0 3 1, wait 6, ask 0 0/8 2/3, wait 5, change 0 0, settle 0 0, wait 4, change 0 0, wait 5, change 0 3/0, wait 6, ask 0 1 5, wait 7, reply 0 3, hang-up, wait 8",
    "habit 3 52/4, dial, wait 6, ask 0 0 1, wait 5, accept 0 1, wait 5, ask 0 1 5, wait 4, ask 0 0/8 2/3, wait 4, ask 0 3 7, wait 5, settle 0 0/3, wait 5, ask 0 2 2, wait 12",
    "habit 3 52, dial, wait 6, ask 0 0 1, wait 5, accept 0 1, wait 5, ask 0 1 5, wait 4, ask 0 0/8 2/3, wait 4, ask 0 0/8 2/3, hang-up/settle, wait 5, ask 0 2 2, reply 0 3, wait 12",
    "habit 3 4, dial, wait 6, ask 0 0 *, wait 5, ask 0 1 5, wait 4, ask 0 0 2/3, wait 13/6, ask 0 0 2/3, wait 12, reply 0 3, wait 8",
    "habit 3 4/52, dial, wait 6, ask 0 0 0, wait 5, ask 0 0/8 2/3, wait 4, accept 0 1, wait 5, ask 0 0/8 3, wait 4, ask 0 1 5, wait 4, ask 0 2 2, wait 12",
    "habit 3 4, dial, wait 6, ask 0 0 1, wait 5, ask 0 1 5, wait 4, ask 0 0 2/3, wait 4, change 0 0, wait 4, hang-up/ask 0 2 2, wait 7, reply 0 3, wait 8",
    "call 4 4 0, wait 7, reply 0 1, wait 5, ask 0 8 3, wait 5, reply 1 3 1, wait 6, hang-up, wait 5, reply 0 3, wait 7",
    "habit 3 2, dial, wait 6, ask 0 0 0/1, wait 5, ask 0 8 3/2, wait 5, accept 0 1, wait 5, ask 0 1 5, wait 6, hang-up, wait 5, reply 0 3, wait 7",
    "habit 3 52, dial, wait 6, ask 0 0 1, wait 5, accept 0 1, wait 4, ask 0 1 5, wait 4, ask 0 0 3, wait 4, ask 0 8 2/3, wait 4, ask 0 2 2, wait 8",
    "habit 3 4, dial, wait 6, ask 0 0 1, wait 5, ask 0 1 5, wait 4, ask 0 0 3, wait 4, change 0 0/1, wait 2, change 0 3, wait 4, ask 0 2 2, wait 8",
    // Requests outside calls.
    "habit 3 0 4/2, dial, wait 6, ask 0 5 1, wait 4, ask 0 5 8, release 3 7, ask 0 5 8, wait 4, release 3 *, wait 8",
    "habit 3 0 4/2, dial, wait 6, ask 0 5 1, wait 4, misbehave 0 1, wait 4, release 3 7, wait 4, release 3 0, wait 12",
    "message 4 4 *, wait 7, reply 0 0, wait 5, reply 0 0, wait 5, reply 0 *, wait 6",
    "message 4 4 0, wait 7, reply 0 0, wait 5, misbehave 0 1, wait 6",
    "message 4 4 0, wait 7, reply 0 0, wait 12, wait 8",
    "dial *, wait 6, ask 0 * *, ask 0 * *, wait 5, ask 0 * 9, wait 5",
    // Subscriptions to the mischief-maker, who answers and notifies as it should, or does not.
    "subscribe 4 4 0/4, wait 7, reply 0 3 0, notify 0 0, wait 5, notify 0 3 1, renew 0 1, wait 5, reply 0 3 0, wait 5, unsubscribe, wait 5, reply 0 3 0, notify 0 5, wait 6",
    "subscribe 4 4 0, wait 7, reply/notify/renew/unsubscribe 0 3/13/10/0 0, wait 4, reply/notify/renew/unsubscribe 0 3/13/10/0 0, wait 4, reply/notify/unsubscribe 0 3/13/10/* 0/1, wait 8",
    "subscribe 4 4 0, wait 7, notify 0 *, wait 4, reply/notify/renew/unsubscribe 0 3/13/10/* 0, wait 4, reply/notify/unsubscribe 0 3/13/10/* 0/1, wait 8",
    "subscribe 4 4 0, wait 7, notify 0 1/2, wait 4, notify/renew/unsubscribe/reply 0 3/13/10/0 0, wait 8",
    "subscribe 4 4 0/4, wait 7, reply 0 3 0, notify 0 0, wait 5/9, renew/unsubscribe/notify 0 * *, wait 4/6, renew/unsubscribe/notify/reply 0 3/13/10/* 0, wait 4/6, renew/unsubscribe/notify/reply 0 3/13/10/* 0, wait 12",
    "subscribe 4 4 0, wait 7, reply 0 3 0, wait 5/10, renew/unsubscribe/notify 0 1/2/3/4/5, wait 5, renew/unsubscribe/notify/reply 0 3/13/10/1/2, wait 5, notify/reply/unsubscribe 0 3/13/10/1/2 0, wait 12, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 5, renew 0 1, wait 4, unsubscribe, wait 4, unsubscribe/reply/notify 0 3/13/10/0/1/2, wait 5, reply/notify/unsubscribe 0 3/13/10/0/1/2 0, wait 8",
    "subscribe 4 4 0, wait 7, unsubscribe, wait 4, unsubscribe/reply/notify 0 3/13/10/0/1/2, wait 5, reply/notify/unsubscribe 0 3/13/10/0/1/2 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 5, unsubscribe, wait 4, unsubscribe/reply/notify 0 3/13/10/0/1/2 0, wait 5, reply/notify/unsubscribe 0 3/13/10/0/1/2 0, wait 12, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 13, wait 5, renew/unsubscribe/notify 0 0/1/2, wait 9, reply/notify 0 3/13 0, wait 9, reply/notify 0 3/13 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 10, notify 0 4/8/9, wait 5, notify/renew/unsubscribe 0 0/1/2/3, wait 9, reply 0 3 0, wait 8",
    "subscribe 4 4 3, wait 7, reply/notify 0 3/13/10 0, wait 5, reply/notify/unsubscribe 0 3/13/10/1/2 0, wait 12, wait 9",
    "subscribe 4 4 3, wait 7, notify 0 3 0, wait 5, reply/notify 0 3/13/10/1/2, wait 8",
    "subscribe 4 4 8/12/11, wait 7, reply 0 3 1/9, wait 5, notify/renew/unsubscribe 0 0/1/3, wait 5, reply 0 3 1/0, notify 0 0/5, wait 6, unsubscribe, wait 5, reply 0 3 1/0, notify 0 5, wait 6",
    "subscribe 4 4 2, wait 5, renew/unsubscribe 0 *, wait 7, reply 0 3 0, wait 5, notify 0 5, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, notify 0 0 4, wait 5, notify 0 * 4, unsubscribe/renew 1, wait 6, reply 0 3 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 3, notify 0 0, wait 11, reply/notify 0 3/10/0 0, wait 11, reply 0 10/3, wait 8",
    "subscribe 4 4 0, wait 7, notify 0 0, wait 4, notify 0 1/4/5/8, wait 4, reply 0 3 0, wait 8",
    "subscribe 4 4 0, wait 7, notify 0 0, wait 4, reply 0 10/9, wait 6",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 4, unsubscribe, wait 5, reply 0 3 0, wait 4, notify 0 2/7, wait 6",
    // Whose endpoint ends.
    "subscribe 4 4 3, wait 7, reply 0 3 0, wait 4, end 4, wait 8",
    "subscribe 4 4 0/2/3, wait 7, end 4, wait 5, reply 0 3/13/10 0, wait 5, reply/notify 0 3/13/10/0/1/2 0, wait 8",
    "subscribe 4 4 0/3, wait 7, notify/reply 0 3/13/0/1/2 0, wait 4, end 4, wait 5, reply/notify 0 3/13/10 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 4, renew/unsubscribe 0 1, wait 4, end 4, wait 5, reply/notify 0 3/13/10/0/1/2 0, wait 5, reply/notify 0 3/10 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, wait 4, renew/notify 0 1/0, wait 4, end 4, wait 5, reply/notify 0 3/13/10/0/1/2 0, wait 5, reply/notify 0 3/10 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 4, unsubscribe, wait 5, reply 0 3 0, wait 5, end 4, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 5, end 4 1, wait 5, reply 0 3 0, wait 8",
    "subscribe 4 4 0, wait 0/1, unsubscribe, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 5, renew 0 1, wait 5, reply 0 14 8, wait 4, unsubscribe, wait 5, reply 0 3 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 5, misbehave 0 1, wait 5, renew 0 1, unsubscribe, wait 5, reply 0 3 0, wait 8",
    "subscribe 4 4 3, wait 7, reply 0 3 0, wait 4, notify 0 0/1/2, wait 8",
    "subscribe 4 4 0, wait 7, notify 0 0/2/1, wait 4, renew 0 1, wait 4, reply 0 3 0, wait 4, reply 0 3 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, wait 4, renew 0 1, wait 4, reply/notify 0 13/10/0/1/2, wait 9",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, wait 4, renew 0 1, wait 4, notify 0 1/4/2, wait 8",
    "subscribe 4 4 0, wait 7, notify 0 0/2, wait 4, end 4, wait 5, reply 0 3 0, wait 8",
    "subscribe 4 4 0, wait 7, unsubscribe, wait 4, end 4, wait 5, reply 0 3 0, wait 8",
    "subscribe 4 4 0, wait 7, reply 0 3 0, notify 0 0, renew 0 1, wait 4, unsubscribe, wait 4, end 4, wait 5, reply 0 3 0, wait 8",
    // Whose server has lost the endpoint.
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 0, wait 4, network 5 2, wait 9, reply 0 3 4, wait 5, reply/notify 0 3 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, wait 4, network 5 2, wait 9, reply 0 3 4, wait 5, reply/notify 0 3 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 0/3, wait 4, renew 0 1, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, wait 4, renew 0 1, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 4, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, notify 0 0/2, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, unsubscribe, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 0, wait 4, renew 0 1, wait 4, unsubscribe, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 0, wait 4, unsubscribe, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 0, wait 4, unsubscribe, wait 5, reply 0 3 0, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 0, wait 4, network 5 2, wait 9, end 8, wait 4, reply 0/1 3 4, reply 0/1 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0/2/3, wait 6, notify/reply 0 3/13/0/1/2 0, wait 4, network 5 2, wait 10, reply 0/1/2 3 4, wait 5, reply/notify 0 3 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, wait 4, renew/unsubscribe/notify 0 1/0, wait 4, reply/renew/unsubscribe 0 3/13 0, wait 4, network 5 2, wait 10, reply 0/1/2 3 4, wait 5, reply/notify 0 3 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0, wait 6, reply 0 3 0, notify 0 0, wait 4, renew/unsubscribe 0 1, wait 4, reply/renew/unsubscribe 0 3/13 0, wait 4, network 5 2, wait 10, reply 0/1/2 3 4, wait 5, reply/notify 0 3 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 0/3, wait 6, unsubscribe/notify 0 3/2, wait 4, network 5 2, wait 10, reply 0/1/2 3 4, wait 5, reply/notify 0 3 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 3, wait 6, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, subscribe 8 4 3, wait 6, reply 0 3 0, network 5 2, wait 9, reply 0 3 4, wait 8",
    // What is published, and for how long.
    "publish 4 4, wait 7, reply 0 3 0, wait 5, republish, wait 5, reply 0 3 0, wait 5, withdraw, wait 5, reply 0 3 0, wait 6",
    "publish 4 4, wait 7, reply 0 3/4/13/10 0, wait 5, republish/withdraw, wait 5, reply/republish/withdraw 0 3/4/13/10 0, wait 5, reply/withdraw 0 3/4/13/10 0, wait 8",
    "publish 4 4, wait 7, reply 0 3 0, wait 5, republish, wait 5, reply 0 3/4/13/10 0, wait 9, reply 0 3 0, wait 8",
    "publish 4 4, wait 7, withdraw/republish, wait 4, withdraw/reply 0 3/4/13/10 0, wait 5, reply 0 3/4/13/10 0, wait 8",
    "publish 4 4, wait 7, reply 0 3 0, wait 5, republish, wait 4, withdraw, wait 4, reply 0 3/4/13/10 0, wait 5, reply 0 3/4/13/10 0, wait 8",
    "publish 4 4, wait 7, reply 0 3 2, wait 12, wait 11, reply 0 3/4/13 0, wait 8",
    "publish 4 4, wait 7, reply 0 13, wait 5, republish/withdraw, wait 9, reply 0 3 0, wait 8",
    "publish 4 4, wait 0/1, withdraw, wait 8",
    "publish 4 4, wait 7, reply 0 3 0, wait 4, withdraw, wait 4, withdraw, reply 0 3/4/13/10 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, publish 8 4, wait 6, reply 0 3 0, wait 4, network 5 2, wait 9, reply 0 3 4, wait 5, reply 0 3 0, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, publish 8 4, wait 6, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, publish 8 4, wait 6, reply 0 3 0, wait 4, republish/withdraw, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, publish 8 4, wait 6, withdraw, wait 4, network 5 2, wait 9, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, publish 8 4, wait 6, reply 0 13, reply 0 13, network 5 2, wait 8, reply 0 3 4, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, publish 8 4, wait 6, reply 0 13, wait 9, reply 0 13, wait 9, reply 0 13, wait 9, reply 0 13, network 5 2, wait 9, reply 0 3 4, wait 8",
    // It subscribes.
    "habit 3 0 16, dial, wait 6, ask 0 11 0, wait 5, reply 0 3, tell 0 3, wait 5, reply 0 3/10/13, ask 0 11 2, wait 5, reply 0 3, wait 5, tell 0 4, wait 5, tell 0 4, reply 0 3, wait 7",
    "habit 3 0 16, dial, wait 6, ask 0 11 0, wait 5, reply 0 3, ask 0 11 3, wait 5, tell 0 4, wait 4, reply 0 3/10, wait 7",
    "habit 3 0 16, dial, wait 6, ask 0 11 1, wait 5, tell 0 4, reply 0 3/10, wait 7",
    "habit 3 0 16, dial, wait 6, ask 0 11 11, wait 5, reply 0 3, wait 9, reply 0 3/10, wait 7",
    "habit 3 0 32, dial, wait 6, ask 0 11 0, wait 12, wait 8",
    "habit 3 0 32, dial, wait 6, ask 0 11 0/1, wait 5, tell 0 0/1/2, wait 5, reply 0 3/10, tell 0 3, wait 7",
    "habit 3 0 32, dial, wait 6, ask 0 11 0, wait 5, end 4, wait 7",
    "habit 3 0 48/64, dial, wait 6, ask 0 11 0, wait 5, reply 0 3/10, tell 0 3, wait 5, end 4, wait 5, reply 0 3, wait 7",
    // A registrar that is what it should be, and then is not.
    "manner 1 3 0, register 8, wait 8, unregister 8, wait 8, manner 0",
    "manner 1 3 2, register 8, wait 8, manner 1 3 8, wait 12, manner 1 3 0, wait 13, manner 0",
    "manner 1 3 2, register 8, wait 8, manner 1 13, wait 12, wait 10, manner 1 3/6 8, wait 13, register 8, wait 8, manner 0",
    "manner 1 3 2, register 8, wait 8, manner 1 13, wait 12, wait 11, register 8, wait 8, manner 1 3 0, wait 12, manner 0",
    "manner 1 3 2, register 8, wait 8, manner 1 9, wait 13, manner 1 6, wait 13, manner 1 3 2, wait 13, manner 0",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, wait 10, unregister 8, wait 12, wait 10",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, wait 10, misbehave 0 1, wait 10",
    "manner 1 3 2, register 8, wait 8, manner 1 6, wait 12, manner 1 3 0, wait 8, manner 0",
    "manner 1 3 0, register 8, wait 8, manner 1 6/9, unregister 8, wait 12, manner 0",
    "manner 1 3 0, register 8, register 9, wait 8, reset 5, reset 5, reset 5 1, wait 8, manner 0",
    "manner 1 6/7/8/5/14 *, register 8, wait 8, manner 1 3 0, wait 12, manner 0",
    // One that deregisters those that it has, is about to have, has no more, and does not have.
    "manner 1 3 0/4, register 8, wait 8, manner 0, dismiss 0 0/1/2/3/4, wait 6, dismiss, register 8, wait 6, reply 0 3 0, wait 8",
    "manner 0, register 8, wait 8, dismiss 0 0/1/2/3/4, wait 6, reply 0 3 0/8, wait 8",
    "manner 1 3 0, register 8, wait 8, manner 0, unregister 8, wait 6, reply 0 3 4, wait 8",
    "manner 1 3 4, register 8, wait 8, manner 0, unregister 8, wait 6, dismiss 0 1, wait 6, reply 0 3 0/4/8, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 1 13, wait 12, wait 10, dismiss 0 1, wait 6, manner 0, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, wait 10, wait 10, dismiss 0 1, wait 6, reply 0 3 4, wait 8",
    "manner 1 3 6, register 8, wait 12, manner 0, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, dismiss 0 0/1/2/3/4, wait 6, dismiss 0 1, wait 6, reply 0 3/9 0/4/8, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, dismiss 0 1, wait 6, reply 0 3 0/4/8, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, dismiss 0 1, wait 6, reply 0 6, wait 6, reply 0 6, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, dismiss 0 1, wait 6, register/unregister 8, wait 6, reply 0 3/9 0/4/8, wait 8, reply 0 3 0, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 0, wait 11, dismiss 0 1, wait 6, network 5 2, wait 6, reply 0 3 0/4/8, wait 8",
    "register 9, wait 8, deregister 9, wait 8",
    "enroll, wait 8, habit 0 4, habit 2 4, call 0 1 1, wait 8, deregister 0/1/2/3 * *, lose 0/1/2/3 * *, wait 15, wait 15, wait 15, wait 15, hang-up, wait 8",
    "enroll, methods 0/1/2/3 *, wait 8, call 3 0 1, message 3 0, wait 15, wait 15, wait 15, wait 15, methods 0/1/2/3 8, wait 8",
    // Connections that are nothing yet, or nothing any more.
    "dns 2 4, message 4 6, wait 11, wait 8, echo 3 0, echo 3 1, wait 6, disconnect 3, wait 10, mend",
    "message 4 6, wait 3, echo 3 0, wait 1, echo 3 0, wait 2, echo 3 0, wait 8",
    "reachability 6 2, message 4 4, wait 6, disconnect 3, wait 6, message 4 4, wait 11, mend",
    "latency 200, dial 1, wait 7, echo 3 1, disconnect 3, latency 10, wait 7",
    "latency 200, dial 1/3, wait 6, wait 5, black-hole 3/4, latency 10, wait 13",
    "latency 200, dial 1/3, wait 6, wait 5, misbehave 0 1, latency 10, wait 7",
    "habit 3 8, call 4 4 0, wait 7, reply 0 3 1, wait 5, hang-up, wait 7, reply 0 3, wait 6",
    "dial 0, wait 6, misbehave 0 2, wait 6, ask 0 4, wait 6",
    "register 0, wait 8, unregister 0, unregister 0, wait 8",
    "tls 1 9, dial 3, wait 7, mend",
    "tls 0 0/1/2/3/4/5/6/7/8/9, register 2, wait 8, mend, wait 8",
    "tls 0/2/3 9, register 2, message 5 3, message 7 2, wait 8, mend",
    "call 4 4 0, wait 7, reply 0 1, wait 5, hang-up, wait 5, reply 1 3 1, wait 6",
    "create 4 4, establish 0 0, wait 7, reply 0 1, wait 5, hang-up, wait 5, reply 1 3 1, wait 6",
    "dial 0, wait 6, misbehave 0 3, wait 6",
    "dial 0, wait 6, idle 3 0 5, wait 11",
    "dial 0, wait 13, dial 0, wait 6, ask 0 4, wait 6, misbehave 0 2/3, wait 6",
    "message 4 4, wait 7, reply 0 3, wait 6, misbehave 0 3, wait 6",
    "message 4 4, wait 7, reply 0 3, wait 6, message 4 4, wait 6, reply 0 3, wait 13",
    "message 4 4, wait 7, reply 0 3, wait 6, idle 3 0 1, wait 10",
    // One that is given up while bytes wait.
    "message 8, wait 7, window 3, slow 5 0 1, message 8, message 8, message 8, wait 4, end 8, wait 5, reply, ask 0 5 1, wait 5, echo 5 1, wait 12, window, mend",
    "message 0 1, wait 7, window 3, slow 0 0 1, message 0 1, message 0 1, message 0 1, wait 4, end 0, wait 6, disconnect, reset, wait 11, window, mend",
    "message 8, wait 7, window 3, slow 5 0 1, message 8, message 8, message 8, wait 4, end 8, wait 5, misbehave 0 0/1, wait 11, window, mend",
    "message 8, wait 7, window 3, slow 5 0 1, message 8, message 8, message 8, wait 4, end 8, wait 5, disconnect 5, wait 6, window, mend",
    "message 8, wait 7, window 3, slow 5 0 1, message 8, message 8, message 8, wait 4, end 8, wait 5, slow 5 0 3, wait 6, window, mend",
    "message 8, wait 7, window 3, slow 5 0 1, message 8, message 8, message 8, wait 4, end 8, wait 12, window, mend",
    "message 0 1, wait 7, window 3, slow 0 0 1, message 0 1, message 0 1, message 0 1, wait 4, end 0, wait 12, window, mend",
    "laziness 99, dial 0, wait 6, ask 0 4, ask 0 5, misbehave 0 3, misbehave 0 0/1, wait 4, echo 3 1, disconnect 3, wait 8, laziness 0",
    "laziness 99, message 4 4, wait 7, ask 0 5, misbehave 0 3, misbehave 0 0/1, wait 2, echo 3 1, reply 0 3, wait 2, disconnect 3, wait 8, laziness 0",
    // One that leaves, while somebody lets go of it or it is closed: at once, and while bytes wait.
    "habit 3 1, dial 0, wait 6, ask 0 0, wait 6, laziness 99, misbehave 0 3, wait 1/2/3, reject/hang-up, wait 8, laziness 0",
    "habit 3 1, latency 1, dial 0, wait 6, ask 0 0, wait 6, laziness 99, misbehave 0 3, wait 0/1, hang-up, wait 8, laziness 0, latency 10",
    "latency 1, dial 0, wait 6, ask 0 4, wait 6, laziness 99, misbehave 0 3, wait 0/1, disconnect 3, wait 8, laziness 0, latency 10",
    "habit 3 1, dial 0, wait 6, ask 0 0, wait 5, window 3, slow 3, ask 0 4, ask 0 4, ask 0 4, wait 5, misbehave 0 3, wait 5, reject/hang-up, wait 7, echo 3 1, wait 12, window, mend",
    "dial 0, wait 6, window 3, slow 3, ask 0 4, ask 0 4, ask 0 4, wait 5, misbehave 0 3, wait 5, disconnect/reset 3, wait 7, window, mend",
    "dial 0, wait 6, window 3, slow 3, ask 0 4, ask 0 4, ask 0 4, wait 5, misbehave 0 3, wait 5, echo 3 1, misbehave 0 1, wait 7, window, mend",
    // Paths that break, and hosts that move.
    "register 0/3, wait 8, black-hole 0/2, wait 15, wait 8",
    "register 0/3, wait 8, one-way 0/2 0 0/1, wait 15, wait 8",
    "register 3, wait 8, black-hole 2, wait 6, message 3 0, wait 12, wait 8",
    "enroll, wait 8, network 0/1/2/5 *, wait 8, message 0 1, message 3 0, wait 8",
    "register 0, network 0 *, wait 8, network 0 *, wait 4, network 0 *, unregister 0, network 0 *, wait 8",
    "habit 4 4, call 4 1 *, wait 8, network 3/4 *, inside * *, wait 6, hang-up, wait 8",
    "register 9, wait 8, network 5 *, wait 8",
    "manner 1 3 0, register 8, wait 8, network 5 *, wait 4, manner 0, wait 8",
    "manner 1 3 2, register 8, wait 8, manner 1 13, wait 12, wait 10/11, network 5 *, wait 5/10, network 5 *, wait 8, manner 0",
    "manner 1 3 2, register 8, wait 8, manner 1 13, wait 12, wait 11, manner 0, network 5 2, wait 5, network 5 2, wait 8",
    "dns 3 4, message 4 4, wait 6, network 3 *, wait 10, mend",
    "reachability 6 2, message 4 4, wait 6, network 3 *, wait 6, mend",
    "dial 0, wait 6, misbehave 0 2, wait 12, wait 11",
    // Connections that the application decides on.
    "authorize 3/4 1 1, dial 0/1/3, wait 6, ask 0 4, wait 6, decide 3/4 0 0/1, wait 7, mend",
    "authorize 3/4 1 1, message 4/6 *, wait 6, decide 3/4 0 0/1, wait 8, mend",
    "authorize 0/1/2 1 1, register 0/2/3, wait 8, decide 0/1/2 0 0/1, wait 10, mend",
    "authorize 3/4 1 1/2, dial 0/1, wait 6, disconnect/reset/misbehave 3/4, wait 6, mend, wait 11",
    "authorize 3/5 1 1, message 4 4, wait 6, disconnect/reset/end 3/4, wait 6, mend, wait 10",
    "authorize 3/4 1 1, call 4/5/6/7 *, wait 7, hang-up, wait 6, mend",
    "authorize 3 1 1, dial 0, wait 6, ask 0 4, echo 3 0/1/2/3, wait 13, mend",
    "authorize 3 1 1, message 4 4, message 4 4, wait 5, echo 3 0/1, end 4, wait 13, mend",
    "authorize 3/4/5 1 0/2, dial 0/1/2, message 4/6 *, wait 7, mend",
    "authorize 0 1 1, register 0, wait 7, message 0 *, wait 4, decide 0 0 0/1, wait 8, mend",
    "authorize 3/4 1 1, message 4/6 *, wait 6, network 3/4 *, wait 8, mend",
    // Listening.
    "stop-listening 0/1 1, wait 6, laziness 99, listen 0/1, end 4/5/6/7, end 4/5/6/7, wait 7, laziness 0, listen 0, listen 1, wait 6",
    "stop-listening 0/1 1, wait 6, laziness 99, listen 0/1, end 4/5/6/7, end 4/5/6/7, wait 7, laziness 0, listen 0, listen 1, wait 6",
    "listen 3, wait 6",
    "stop-listening 0/1 1, wait 6, laziness 90, listen 0/1, stop-listening 0/1 1, wait 6, laziness 0, listen 0, listen 1",
    "stop-listening 0/1 1, wait 6, laziness 90, listen 0/1, stop-listening 0/1 1, wait 6, laziness 0, listen 0, listen 1",
    "stop-listening 0/1 1, wait 6, laziness 99, listen 0/1, stop-listening 0/1 1, wait 7, laziness 0, listen 0, listen 1, wait 6",
    "stop-listening 0/1 0, wait 6, message 4 1, message 6 0, wait 6, listen 0, listen 1, wait 6",
    "stop-listening 0/1 0, wait 6, message 4 1, message 6 0, wait 6, listen 0, listen 1, wait 6",
    "echo 3 2, echo 3 3, wait 5",
    // Servers that say something else than yes, or are not there; who has two goes to the other one.
    "registrar 0 1, register 0, wait 8, mend, register 0, wait 8",
    "enroll, wait 8, registrar 0 1, restart 0, wait 10, mend, wait 10",
    "enroll, wait 8, registrar 0 1, registrar 1 1, restart 0, restart 0 1, wait 10, mend, wait 11",
    "registrar 0 2 *, registrar 1 2 *, enroll, wait 8, restart *, wait 10, mend, wait 10",
    "registrar 0 3/4 *, registrar 1 3/4 *, register 0/1/2/3, wait 11, mend, enroll, wait 8",
    "enroll, wait 8, registrar 0 4 *, registrar 1 4 *, restart *, restart * 1, message 0 1, wait 12, mend, wait 10",
    "enroll, wait 8, half-close 0/1/2/5, half-close 0 1, message 0 1, wait 10",
    "message 4 6, call 4 4 1, wait 7, half-close 3, half-close 3 1, half-close 4, wait 8",
    "reachability 0/1/4/6 3, reachability 1 3, register 0, register 2, message 4 1, message 4 4, wait 11, mend, wait 8",
    "enroll, wait 8, restart *, reachability 0 *, reachability 1 *, wait 11, message 0 1, message 3 0, wait 10, mend, wait 10",
    "enroll, wait 8, restart * 1, reachability 8 *, reachability 9 *, wait 11, call 0 1 1, wait 10, mend, wait 10",
    // A name that hundreds wait for.
    "dns 3 7, crowd, wait 8, mend",
    "dns 3 *, crowd, wait 11, mend",
];

/// The same of what servers do that have security associations.
const OF_ASSOCIATIONS: &[&str] = &[
    "enroll, wait 8, message 0 1, message 3 0, wait 8",
    "enroll, wait 8, dissociate * 0, message 0 1, message 0 1, message 3 0, wait 8",
    "enroll, wait 8, message 0 1, message 3 0, dissociate * 1 0/3, message 0/1/2/3 *, wait 8, message 3 0, wait 8",
    "enroll, wait 8, habit 0 4, habit 2 4, call 0 1 1, wait 8, dissociate * 0, inside, wait 6, hang-up, wait 8",
    "enroll, wait 8, habit 0 4, habit 2 4, dissociate * 0, call 0 1 1, wait 3/8, hang-up, wait 8",
    "enroll, wait 8, habit 0 2, habit 2 2, call 0/3 0/1 1, wait 7, doubt * * *, ring 0 1 1, accept 0 1, wait 7, doubt *, hang-up, wait 8",
    "enroll, wait 8, doubt 0 *, doubt 3 *, message 0 1, message 0 1, message 3 0, call 0 1 1, wait 8, hang-up, wait 8",
    "enroll, wait 8, message 0 1, message 3 0, wait 7, replay 0, replay 1, replay 2, replay 3, wait 7",
    "enroll, wait 8, habit 0 4, habit 2 4, call 0 1 1, wait 7, replay 0, replay 1, replay 3, wait 6, hang-up, wait 5, replay 3, wait 7",
    "enroll, wait 8, sign * 1/2, message 0 1, message 3 0, wait 6/8, sign * 0, message 0 1, wait 12",
    "enroll, wait 8, habit 0 4, habit 2 4, call 0 1 1, wait 3/7, sign * 1/2, inside, hang-up, wait 12, sign * 0, wait 8",
    "enroll, wait 8, habit 0 4, habit 2 4, sign * 1/2, call 0/3 0/1 *, wait 4/8, sign * 0, wait 12, hang-up, wait 8",
    "sign * 1/2, enroll, wait 6/12, sign * 0, wait 8, enroll, wait 8",
    "enroll, wait 8, sign * 1/2, restart *, wait 8/12, sign * 0, wait 12",
    "enroll, wait 8, dissociate * 0, sign * 1/2, message 0 1, wait 5/12, sign * 0, message 3 0, wait 12",
    "enroll, wait 8, subscribe 0 1, publish 3 1, wait 7, dissociate * 0, renew, republish, wait 7, unsubscribe, withdraw, wait 8",
    "publish 4 4, wait 7, reply 0 3 0, wait 5, republish, republish, wait 5, reply 0 3 0, wait 5, reply 0 3 0, withdraw, wait 5, reply 0 3 0, wait 6",
    "tls 0 2, enroll, wait 10, mend, enroll, wait 8",
    "register 0, register 1, wait 3/4/5, reset 0, wait 8, message 0 1, message 1 0, wait 8",
    "enroll, wait 8, dissociate * 0, message 0 1, message 0 1, wait 3/4, reset/disconnect 0, wait 8, message 1 0, wait 8",
    "enroll, wait 8, dissociate * 0, message 0 1, message 1 0, wait 2/3/4, end/unregister 0, wait 8, register 0, wait 8",
    "register 0, wait 3/4/5, unregister 0, wait 7, register 0, wait 3/4/5, end 0, wait 8",
    "enroll, wait 8, dissociate * 0, call 0 1 1, call 3 0 1, wait 2/3/4/5, hang-up, hang-up, wait 8",
    "enroll, wait 8, dissociate * 0, message 0 1, message 0 1, wait 2/3/4, black-hole/half-open 0, wait 12, wait 12",
    "center *, enroll, wait 8/12, center 0, enroll, wait 8, message 0 1, wait 7",
    "center 0 *, enroll, wait 3/8, message 0 1, message 3 0, reset/disconnect 0, wait 8/12, center, wait 8",
    "center 0 0 *, enroll, wait 12, message 0 1, wait 12, center 1, wait 12, center, wait 12",
    "enroll, wait 8, center 0 1/2/3, dissociate * 0, message 0 1, call 3 0 1, wait 2/5, hang-up, end/unregister 0, wait 12, center, wait 8",
    "enroll, wait 8, center *, dissociate * 0, message 0 1, message 0 1, wait 5/8, center, message 3 0, wait 12",
];

/// One of the phrases, with its choices made.
pub(super) fn phrase(dice: &mut ChaCha12Rng, associations: bool) -> Vec<Step> {
    let mut below = |bound: usize| {
        let bound = u32::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(dice.next_u32() % bound).unwrap_or_default()
    };
    if associations && below(3) == 0 {
        let text = OF_ASSOCIATIONS.get(below(OF_ASSOCIATIONS.len()));
        return chosen(text.copied().unwrap_or_default(), below);
    }
    // Those of hundreds are dear, and are the last two.
    let dear = below(20) == 0;
    let cheap = PHRASES.len() - 2;
    let at = if dear { cheap + below(2) } else { below(cheap) };
    chosen(PHRASES.get(at).copied().unwrap_or_default(), below)
}

fn chosen(text: &str, mut below: impl FnMut(usize) -> usize) -> Vec<Step> {
    let step = |step: &str| {
        let words = step.split_whitespace().map(|word| {
            let choices: Vec<&str> = word.split('/').collect();
            match choices.get(below(choices.len())).copied() {
                Some("*") | None => below(256).to_string(),
                Some(word) => word.to_owned(),
            }
        });
        let words = words.collect::<Vec<_>>().join(" ");
        words.parse().unwrap_or_else(|error| panic!("{error}"))
    };
    text.split(',').map(step).collect()
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn every_phrase_is_one() {
        let mut dice = ChaCha12Rng::seed_from_u64(1);
        for associations in [false, true] {
            for _ in 0..PHRASES.len() * 20 {
                assert!(phrase(&mut dice, associations).len() > 1);
            }
        }
    }
}
