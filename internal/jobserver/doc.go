// Package jobserver lets the jobs of a build run in slots of a pool. It is the server of the protocol
// that GNU make describes in "POSIX Jobserver Interaction": a client reads one byte, a token, to start
// one more job, and writes it back when the job has ended. Each client has one job for which it needs
// no token, and the lease in which the command runs stands for the first client's.
//
// # What it keeps
//
//   - There are never more tokens than leases: each lease is acquired, guarded, and names the command
//     before its token is written, and a token is read before its lease is released. So whenever this
//     process is killed, each token that a client can have is backed by slots that stay held for as
//     long as the command lives.
//   - At most one token is on offer, that is, in the pipe, and none while others need the slots. What
//     the build returns is released or offered again after a look at the line.
//   - While no token is on offer, a request for one more lease stands in the pool's line, in its turn
//     like any other.
//
// # Where to begin
//
// server.go has the parts and their life, balance.go the decisions, pipe.go the files, makeflags.go
// and gnumake.go what make is told.
package jobserver
