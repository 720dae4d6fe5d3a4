package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// eachShell runs a test in every shell that is installed. In the Korn shells, commands do not inherit
// descriptors above 2, unless they are told to: inherit is what does that.
func eachShell(t *testing.T, test func(t *testing.T, shell, inherit string)) {
	for shell, inherit := range map[string]string{"bash": "", "dash": "", "zsh": "", "mksh": "9<&9", "ksh": "9<&9", "sh": "9<&9"} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(err)
			}
			test(t, shell, inherit)
		})
	}
}

// section prepares a script that has the pool open as descriptor 9. In the script, ACQUIRE stands for
// the command with its flags up to the descriptor, and RELEASE likewise.
func section(t testing.TB, shell, inherit, name, script string) *exec.Cmd {
	t.Helper()
	script = strings.NewReplacer(
		"ACQUIRE", "poolrun acquire --fd 9 "+inherit,
		"RELEASE", "poolrun release --fd 9 "+inherit,
		"NAME", name,
	).Replace("exec 9<$(poolrun path NAME) || exit\n" + script)
	cmd := command(t, shell, "-c", script)
	cmd.Dir = t.TempDir()
	return cmd
}

// startSection starts such a script, and returns functions that send it a line, and read one.
func startSection(t testing.TB, cmd *exec.Cmd) (tell func(string), next func() string) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	next = startLines(t, cmd)
	return func(line string) {
		t.Helper()
		if _, err := stdin.Write([]byte(line + "\n")); err != nil {
			t.Error(err)
		}
	}, next
}

// A shell holds a slot by a descriptor, without any process of poolrun, until it returns the slot or
// closes the descriptor.
func TestAShellHoldsASlotByADescriptor(t *testing.T) {
	for _, test := range []struct {
		end, again string
		reclaimed  uint64
	}{
		{"RELEASE", "ACQUIRE", 0},
		{"exec 9<&-", "exec 9<$(poolrun path NAME); ACQUIRE", 1},
	} {
		t.Run(test.end, func(t *testing.T) {
			eachShell(t, func(t *testing.T, shell, inherit string) {
				if test.end != "RELEASE" {
					needRealClose(t, shell)
				}
				name := newPool(t, 1)
				cmd := section(t, shell, inherit, name, "ACQUIRE || exit; echo $$; read line; "+
					test.end+" || exit; echo ended; read line; "+test.again+" || exit; echo again; read line")
				tell, next := startSection(t, cmd)
				wantLine(t, next, fmt.Sprint(cmd.Process.Pid))
				h := statusOf(t, name).Holders[0]
				if h.State != "descriptor" || h.PID != cmd.Process.Pid || h.CommandPID != 0 || !strings.HasPrefix(h.Command, shell+" -c ") {
					t.Errorf("%+v", h)
				}
				if child := childOf(cmd.Process.Pid); child != 0 {
					t.Errorf("process %d is left", child)
				}
				wantBusy(t, name)
				waiter := startWaiter(t, name)
				tell("")
				wantLine(t, next, "ended")
				wantExit(t, 0, waiter)
				wantEmpty(t, name)
				if n := statusOf(t, name).Counters; n.Reclaimed != test.reclaimed || n.Released != 2-test.reclaimed {
					t.Errorf("%+v", n)
				}
				tell("")
				wantLine(t, next, "again")
				wantBusy(t, name)
				tell("")
				wantExit(t, 0, cmd)
				wantUsable(t, name)
			})
		})
	}
}

// needRealClose skips a test in a shell that keeps a copy of a descriptor that exec closes, as mksh R59
// of Debian does while descriptor 10 is free.
func needRealClose(t *testing.T, shell string) {
	t.Helper()
	const file = "/dev/zero"
	cmd := command(t, shell, "-c", "exec 9<"+file+"; exec 9<&-; echo $$; read line")
	tell, next := startSection(t, cmd)
	if pid := readPID(t, next); hasOpen(pid, file) {
		t.Skipf("%s keeps a copy of a descriptor that it closes", shell)
	}
	tell("")
	wantExit(t, 0, cmd)
}

// However a shell ends, its slot is free then, and the next in line has it.
func TestASectionEndsWithItsShell(t *testing.T) {
	eachShell(t, func(t *testing.T, shell, inherit string) {
		name := newPool(t, 1)
		for _, n := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			cmd := section(t, shell, inherit, name, "ACQUIRE && echo held; read line; read line")
			_, next := startSection(t, cmd)
			wantLine(t, next, "held")
			waiter := startWaiter(t, name)
			cmd.Process.Signal(n)
			wantSignal(t, n, cmd)
			wantExit(t, 0, waiter)
			wantEmpty(t, name)
		}
	})
}

// A child of the shell that has inherited the descriptor holds the slot after the shell has ended.
func TestABackgroundChildHoldsTheSlotOfTheSection(t *testing.T) {
	eachShell(t, func(t *testing.T, shell, inherit string) {
		name := newPool(t, 1)
		cmd := section(t, shell, inherit, name, "ACQUIRE; sleep 1000 "+inherit+" >/dev/null & echo $!")
		_, next := startSection(t, cmd)
		child := readPID(t, next)
		wantExit(t, 0, cmd)
		s := waitStatus(t, name, "a holder", func(s status) bool { return s.InUse == 1 })
		if s.Holders[0].State != "descriptor" {
			t.Errorf("%+v", s)
		}
		wantBusy(t, name)
		kill(t, child)
		wantUsable(t, name)
	})
}

// A subshell has a section of its own, which ends with it. exec hands the slot on.
func TestSubshellsAndExec(t *testing.T) {
	eachShell(t, func(t *testing.T, shell, inherit string) {
		name := newPool(t, 2)
		cmd := section(t, shell, inherit, name, `exec 9<&-
			( exec 9<$(poolrun path NAME); ACQUIRE && echo inside; read line )
			echo after; read line
			exec 9<$(poolrun path NAME); ACQUIRE --weight 2 && exec sh -c 'echo $$; read line' `+inherit)
		tell, next := startSection(t, cmd)
		wantLine(t, next, "inside")
		if n := statusOf(t, name).InUse; n != 1 {
			t.Errorf("%d in use", n)
		}
		tell("")
		wantLine(t, next, "after")
		wantEmpty(t, name)
		tell("")
		wantLine(t, next, fmt.Sprint(cmd.Process.Pid))
		if h := statusOf(t, name).Holders[0]; h.State != "descriptor" || len(h.Slots) != 2 {
			t.Errorf("%+v", h)
		}
		tell("")
		wantExit(t, 0, cmd)
		wantUsable(t, name)
	})
}

// Two sections of one script, on two pools and on one, do not disturb each other.
func TestTwoSectionsInOneScript(t *testing.T) {
	eachShell(t, func(t *testing.T, shell, inherit string) {
		one, two := newPool(t, 1), newPool(t, 2)
		eight := strings.ReplaceAll(inherit, "9", "8")
		cmd := section(t, shell, inherit, one, `ACQUIRE || exit
			exec 8<$(poolrun path `+two+`); poolrun acquire --fd 8 `+eight+` || exit
			echo both; read line
			RELEASE || exit
			echo one; read line`)
		tell, next := startSection(t, cmd)
		wantLine(t, next, "both")
		if a, b := statusOf(t, one).InUse, statusOf(t, two).InUse; a != 1 || b != 1 {
			t.Errorf("%d and %d in use", a, b)
		}
		tell("")
		wantLine(t, next, "one")
		wantEmpty(t, one)
		if n := statusOf(t, two).InUse; n != 1 {
			t.Errorf("%d in use", n)
		}
		tell("")
		wantExit(t, 0, cmd)
		wantEmpty(t, two)
	})
}

// A call of poolrun in a section runs in the section's slot, and so does a section in a slot. But a
// process that was started before the section is not in it.
func TestSectionsAndNestedCalls(t *testing.T) {
	eachShell(t, func(t *testing.T, shell, inherit string) {
		name := newPool(t, 1)
		cmd := section(t, shell, inherit, name, `
			( exec 9<&-; until [ -e held ]; do sleep 0.01; done; poolrun -p NAME -n true; echo stranger $?; until [ -e end ]; do sleep 0.01; done ) &
			while [ "$(cut -d' ' -f22 /proc/$!/stat)" = "$(cut -d' ' -f22 /proc/self/stat)" ]; do :; done # until another tick
			ACQUIRE || exit; : >held
			until [ -e told ]; do sleep 0.01; done
			poolrun -p NAME -n sh -c 'echo inside $POOLRUN_SLOT'
			env -i "PATH=$PATH" poolrun -p NAME -n echo inside without environment
			( poolrun -p NAME -n --no-fork echo inside by exec )
			: >end; wait; RELEASE && poolrun -p NAME -n -v echo again`)
		_, next := startSection(t, cmd)
		wantLine(t, next, "stranger 75")
		if err := os.WriteFile(cmd.Dir+"/told", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"inside 0", "inside without environment", "inside by exec", "again"} {
			wantLine(t, next, want)
		}
		wantExit(t, 0, cmd)
		if n := statusOf(t, name).Counters; n.Acquired != 2 || n.Busy != 1 {
			t.Errorf("%+v", n)
		}
		outer := poolrun(t, "-p", name, shell, "-c", strings.NewReplacer("ACQUIRE", "poolrun acquire --fd 9 "+inherit, "RELEASE", "poolrun release --fd 9 "+inherit).Replace(
			"exec 9<$(poolrun path "+name+"); ACQUIRE -v && RELEASE && echo done"))
		wantResult(t, outer, 0, "in a slot of "+name+" already.*\ndone")
		wantEmpty(t, name)
	})
}

// A shell can hand each of its slots to a background job, by a descriptor that it closes itself. It is
// not in the job's section then.
func TestAShellHandsItsSlotToAJob(t *testing.T) {
	eachShell(t, func(t *testing.T, shell, inherit string) {
		needRealClose(t, shell)
		name := newPool(t, 1)
		cmd := section(t, shell, inherit, name, `ACQUIRE || exit
			sleep 1000 `+inherit+` >/dev/null & exec 9<&-
			echo $!; poolrun -p NAME -n true; echo nested $?
			exec 9<$(poolrun path NAME); ACQUIRE -n; echo second $?`)
		_, next := startSection(t, cmd)
		job := readPID(t, next)
		wantLine(t, next, "nested 75")
		wantLine(t, next, "second 75")
		wantExit(t, 0, cmd)
		kill(t, job)
		wantUsable(t, name)
	})
}

// A second descriptor, in a slot that is held already, holds that slot too: as long as either is open.
func TestASecondDescriptorHoldsTheSlotToo(t *testing.T) {
	for what, script := range map[string]string{
		"closed":   "exec 8<&-",
		"released": "poolrun release --fd 8",
	} {
		t.Run(what, func(t *testing.T) {
			name := newPool(t, 1)
			cmd := section(t, "bash", "", name, `exec 8<$(poolrun path NAME); poolrun acquire --fd 8 && ACQUIRE && echo both; read line
				`+script+`; echo one; read line
				RELEASE && echo none; read line`)
			tell, next := startSection(t, cmd)
			for _, want := range []string{"both", "one"} {
				wantLine(t, next, want)
				if s := statusOf(t, name); s.InUse != 1 || s.Counters.Acquired != 1 {
					t.Errorf("%+v", s)
				}
				wantResult(t, command(t, "setsid", "-w", binaries.poolrun, "-p", name, "-n", "true"), 75, "")
				tell("")
			}
			wantLine(t, next, "none")
			wantUsable(t, name)
			tell("")
			wantExit(t, 0, cmd)
		})
	}
}

// What holds the slot of a run is not a section, and cannot be released.
func TestTheGuardOfARunIsNotReleased(t *testing.T) {
	name := newPool(t, 1)
	wantResult(t, poolrun(t, "-p", name, "sh", "-c", "poolrun release --fd 50; echo $?; setsid -w env -u POOLRUN_HELD poolrun -p "+name+" -n true; echo $?"), 0,
		"^poolrun: descriptor 50 holds no slot of pool "+name+"\n2\n")
	// A section in a slot releases what it has.
	for _, flag := range []string{"--quiet", "--close"} {
		wantResult(t, poolrun(t, flag, "-p", name, "bash", "-c", "exec 9<$(poolrun path "+name+"); poolrun acquire --fd 9 && poolrun release --fd 9 && poolrun status "+name), 0, " 1 of 1 slots in use")
	}
	wantEmpty(t, name)
}

// acquire has the limits, codes and place in line of run.
func TestAcquireWaitsLikeRun(t *testing.T) {
	name := newPool(t, 1)
	release := holdSlot(t, name)
	try := func(flags string) *exec.Cmd {
		return section(t, "bash", "", name, "ACQUIRE "+flags+"; code=$?; cat; exit $code")
	}
	wantResult(t, try("-n"), 75, "no free slot in pool "+name)
	wantResult(t, try("-w 0.1 -E 9"), 9, "no free slot in pool "+name+" within 100ms")
	wantResult(t, try("-n -q"), 75, "^$")
	wantResult(t, try("--max-waiting 0"), 75, "the line has 0")
	wantResult(t, try("--weight 2"), 2, "too few slots")
	wantResult(t, try("--memfree "+more+" -n"), 75, "")

	first := mustStart(t, try("-v"))
	waitForLine(t, name, 1)
	second := mustStart(t, poolrun(t, "-p", name, "true"))
	waitForLine(t, name, 2)
	release()
	wantExit(t, 0, first, second)
	wantEmpty(t, name)

	// A signal ends the wait.
	release = holdSlot(t, name)
	cmd := mustStart(t, section(t, "bash", "", name, "exec ACQUIRE"))
	waitForLine(t, name, 1)
	cmd.Process.Signal(syscall.SIGTERM)
	wantSignal(t, syscall.SIGTERM, cmd)
	release()
	wantEmpty(t, name)
}

func TestADescriptorThatIsNoneOfAPool(t *testing.T) {
	name := newPool(t, 1)
	bash := func(script string) *exec.Cmd { return section(t, "bash", "", name, script) }
	wantResult(t, bash("ACQUIRE && ACQUIRE"), 2, "^poolrun: invalid descriptor 9: it holds a slot of pool "+name+" already\n$")
	wantResult(t, bash("RELEASE"), 2, "^poolrun: descriptor 9 holds no slot of pool "+name+"\n$")
	wantResult(t, bash("exec 9<&-; ACQUIRE"), 2, "^poolrun: descriptor 9 is not open\nhint: .*9<&9")
	wantResult(t, bash("exec 9</dev/null; ACQUIRE"), 2, "^poolrun: invalid descriptor 9: it is not the file of a pool\n")
	wantResult(t, bash("exec 9</dev/shm/sem."+name[1:]+"; ACQUIRE"), 2, "^poolrun: invalid descriptor 9: it is not the file of a pool\n")
	wantResult(t, bash("poolrun destroy NAME; ACQUIRE"), 2, "no pool "+name)
	mustRun(t, "init", name, "--size", "1")
	wantResult(t, bash("poolrun destroy NAME; poolrun init NAME --size 1; ACQUIRE"), 2, "^poolrun: invalid descriptor 9: pool "+name+" was destroyed")
	wantResult(t, bash("ACQUIRE; poolrun destroy --force NAME; RELEASE"), 2, "no pool "+name)
	for _, args := range [][]string{{"acquire"}, {"release"}, {"acquire", "--fd", "-1"}, {"acquire", "--fd", "x"}, {"path"}, {"path", freeName(t)}} {
		wantRefused(t, "", args...)
	}
	// Opened for writing, the file is empty, and the pool lost.
	mustRun(t, "init", name, "--size", "1")
	wantResult(t, bash("exec 9>/dev/shm/poolrun."+name[1:]+"; ACQUIRE"), 2, "^poolrun: invalid descriptor 9: it is open for writing only.*9<")
}

// While a section holds a slot, the pool counts as in use.
func TestASectionUsesThePool(t *testing.T) {
	name := newPool(t, 2)
	cmd := section(t, "bash", "", name, "ACQUIRE && echo held; read line")
	tell, next := startSection(t, cmd)
	wantLine(t, next, "held")
	wantResult(t, poolrun(t, "destroy", name), 75, "in use")
	wantResult(t, poolrun(t, "wait", name, "--timeout", "0.1"), 75, "in use")
	wantResult(t, poolrun(t, "repair", name), 0, "is sound")
	if n := statusOf(t, name).InUse; n != 1 {
		t.Errorf("%d in use after repair", n)
	}
	drained := mustStart(t, poolrun(t, "destroy", "--drain", name))
	waitStatus(t, name, "the drain", func(s status) bool { return s.Draining })
	tell("")
	wantExit(t, 0, cmd, drained)
	wantNothingLeft(t, name)
}

// A death in acquire or in release leaves a slot that is free, or that the descriptor holds.
func TestADeathInASectionIsRecovered(t *testing.T) {
	onlyOnce(t)
	for what, test := range map[string]struct {
		script string
		pass   []string
	}{
		"acquire": {"CRASHING acquire --fd 9", append([]string{"descriptor noted", "descriptor locked"}, everyStep...)},
		"release": {"ACQUIRE && CRASHING release --fd 9", []string{"descriptor unlocked", "intent written", "gate changed"}},
	} {
		t.Run(what, func(t *testing.T) {
			eachStep(t, test.pass, func(t *testing.T, n int, _ string) bool {
				name := newPool(t, 1)
				crashing := fmt.Sprintf("POOLRUN_CRASH_AT=%d %s", n, binaries.crashing)
				cmd := section(t, "bash", "", name, strings.ReplaceAll(test.script, "CRASHING", crashing)+"; echo $?; read line")
				tell, next := startSection(t, cmd)
				code := next()
				s := statusOf(t, name)
				if s.InUse == 1 && s.Holders[0].State == "descriptor" {
					wantBusy(t, name)
				} else if s.InUse == 0 {
					wantUsable(t, name)
				} else {
					t.Errorf("%+v", s)
				}
				tell("")
				wantExit(t, 0, cmd)
				wantUsable(t, name)
				return code == "137"
			})
		})
	}
}
