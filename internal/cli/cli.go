// Package cli is the commands of poolrun: it joins what package pool knows of slots
// and package supervisor of commands. One file holds one command.
//
// A program that imports it runs an ordinary run in init: see early.go.
package cli

// CommandLine is the commands, and with their struct tags the whole interface:
// --help, parsing and the defaults come from here.
type CommandLine struct {
	Run     runCommand     `cmd:"" help:"Run a command in a slot of a pool. This is what poolrun does where no other command is named first: \"poolrun --pool NAME -- COMMAND\"."`
	Init    initCommand    `cmd:"" help:"Create a pool."`
	Destroy destroyCommand `cmd:"" help:"Remove a pool."`
	Status  statusCommand  `cmd:"" help:"Show who holds the slots of a pool and who waits for them."`
	Resize  resizeCommand  `cmd:"" help:"Give a pool more or fewer slots."`
	Repair  repairCommand  `cmd:"" help:"Check a pool, mend what can be mended, and say what was found."`
	Barrier barrierCommand `cmd:"" help:"Wait until a number of callers have arrived, and let all go on."`
	List    listCommand    `cmd:"" help:"Show all pools, one a line."`
	Version versionCommand `cmd:"" help:"Show the version."`
}
