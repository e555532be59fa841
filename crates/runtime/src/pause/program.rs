//! First process of a pod: holds its name spaces, reaps orphans, ends on a signal.
//!
//! Freestanding: no C library, no allocator, no panic path. Built by the build script.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

const SIGINT: isize = 2;
const SIGTERM: isize = 15;
const SIGCHLD: isize = 17;
const SIG_SETMASK: usize = 2;
const WNOHANG: usize = 1;
const SIGNAL_SET_BYTES: usize = 8;

#[cfg(target_arch = "x86_64")]
mod calls {
    pub const SIGPROCMASK: usize = 14;
    pub const SIGTIMEDWAIT: usize = 128;
    pub const WAIT4: usize = 61;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod calls {
    pub const SIGPROCMASK: usize = 135;
    pub const SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
    pub const EXIT_GROUP: usize = 94;
}

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor %ebp, %ebp", "and $-16, %rsp", "call {run}", "ud2", run = sym run, options(att_syntax));

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "bl {run}", "brk #1", run = sym run);

/// A system call with up to four arguments.
///
/// # Safety
/// As the call itself demands; pointers must be valid for what the kernel reads and writes.
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel changes nothing but the result and the two registers named as clobbered.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel changes nothing but the result.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
            options(nostack));
    }
    result
}

extern "C" fn run() -> ! {
    let all: u64 = !0;
    let set = &raw const all as usize;
    // SAFETY: `set` points to a signal set that lives for the whole program; the other pointers are null,
    // which these calls allow.
    unsafe {
        // Blocked signals wait until they are asked for, so none is lost and no handler is needed.
        call(calls::SIGPROCMASK, SIG_SETMASK, set, 0, SIGNAL_SET_BYTES);
        loop {
            match call(calls::SIGTIMEDWAIT, set, 0, 0, SIGNAL_SET_BYTES) {
                SIGINT | SIGTERM => {
                    call(calls::EXIT_GROUP, 0, 0, 0, 0);
                }
                SIGCHLD => while call(calls::WAIT4, usize::MAX, 0, WNOHANG, 0) > 0 {},
                _ => {}
            }
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
