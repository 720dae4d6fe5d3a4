// Package ledger is the shared memory of a pool: who holds which slot, who waits, and how both
// change.
//
// Nothing in that memory is trusted: any process that may write to it can write anything. So the
// rule of this package is to check before trusting. A number is loaded once, checked, and used from
// the copy. A Ref becomes a participant only through At. Every walk is bounded. Memory that makes
// no sense is a Damage, which is returned as an error. No function panics (except that a truncated
// file raises SIGBUS), and none allocates: an ordinary run calls them before the Go runtime has
// started.
//
// Except for Inspect and Check, and where a comment says so, functions run under the ledger lock,
// which belongs to package pool.
//
// Read layout.go first, then line.go, slots.go and records.go, which keep what is derived from the
// participants' records; change.go, which makes every change and mends one that was cut off;
// wake.go; and inspect.go.
package ledger
