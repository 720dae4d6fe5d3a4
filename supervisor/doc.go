// Package supervisor runs one command in place of the calling process. It passes signals on to the
// command, waits for it, and reports how it ended. Seen from outside, the process behaves as the
// command alone would.
//
// # What it promises
//
//   - The command inherits what the process itself inherited at execve(2): environment,
//     descriptors, resource limits, ignored, blocked and pending signals, and the other
//     attributes that tests/inherited_test.go lists.
//   - Every signal that a process can catch reaches the command once, real-time signals
//     included. The exceptions are listed in forward.go.
//   - No signal is sent to the command's pid after the command has been waited for.
//   - When the command stops, the process stops too, and it goes on when the command does.
//   - [Status] and [ExitBySignal] let the process end as the command ended.
//
// Some of this needs an entry point of its own, which the program has to be linked with: see
// [HasEntryPoint].
//
// # Two regimes
//
// Until the command exists, every failure is final: the caller gets an error, and no command runs.
// From then on nothing ends the supervision before the command does. An operation that fails is
// left undone.
//
// # Where to begin
//
// Read the files in this order:
//
//   - run.go and spawn_linux.go start the command and wait for it.
//   - signals.go, queue_linux.go, effect.go and context.go catch signals, and decide what they do
//     before the command exists. forward.go passes them on to the command. jobcontrol_linux.go
//     stops the process together with the command.
//   - status.go, lookpath.go and interpreter.go report how the command ended, or why it cannot
//     run.
//   - entry_linux.go notes what the process inherited, before the Go runtime starts.
//     direct_linux.go runs a command at that point, without the runtime. limits_linux.go,
//     memory_linux.go and fatal_linux.go prepare for the runtime, and for its end. All of that is
//     bare Go: see internal/bare.
package supervisor
