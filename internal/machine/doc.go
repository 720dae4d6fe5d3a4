// Package machine tells what the machine has: CPUs, memory that is available, load.
package machine
