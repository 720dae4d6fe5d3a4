// Package replay checks that a pool keeps the protocol. etcd's log is the total order of all that
// happens to a pool: a Checker follows it, and applies each revision to a State, which knows the rules.
// The first revision that breaks one is a Violation.
//
// Read rules.go for the rules, and the comment of package keys for the keys. These words are used:
//
//   - A take is a revision that creates keys of slots. It removes the taker from the line.
//   - A jump is a take of a newcomer, which has not stood in line.
//   - A join is a revision that creates the key of a waiter.
//   - A waiter is resumed by a revision that puts its key on another lease: its agent was killed, and has a
//     successor.
package replay
