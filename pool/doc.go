// Package pool limits how many processes of one machine do something at once.
//
// A pool has a fixed number of slots. A process acquires a lease on a slot, waits in line if all
// slots are taken, and releases the lease when it is done. The limit belongs to the pool, not to
// the processes that use it. The order is first come, first served. A slot whose holder has died is
// free again, whatever the holder died of. There is no daemon: a pool is two objects in /dev/shm.
//
// One is a POSIX named semaphore, the gate, whose value is the number of free slots. C programs may
// wait for it and post it like any other. The other is the ledger, which records the holders of
// slots and the waiters. The kernel releases locks on the ledger's file when their owner dies.
// These locks are the truth; the ledger can be rebuilt from them. docs/design.md explains the
// mechanism, in the words that the code uses.
//
// A lease belongs to the process that acquired it. If that process starts a command on its behalf,
// Lease.Guard keeps the slot taken for as long as the command lives, even if the process itself is
// killed.
//
// Methods that change a pool, or take a status of it, need the ledger lock. Other processes hold it
// for microseconds, unless one is stopped while it has it. Methods with a context wait for the lock
// until the context is done. All others wait for five seconds at most and then return ErrStuck.
//
// To read the code, begin with pool.go (open and close), lock_linux.go (the only door to the ledger
// lock) and errors.go. Then acquire.go and lease.go; place.go, sleep.go, doze_linux.go and
// watch_linux.go, for what happens in line; reap.go and process_linux.go, for the dead; create.go,
// destroy.go, resize.go, status.go and repair.go. What touches shared memory only is in
// internal/ledger.
package pool
