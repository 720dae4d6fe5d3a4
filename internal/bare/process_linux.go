package bare

// A Process is what poolrun needs of /proc/PID/stat, proc_pid_stat(5).
type Process struct {
	State  byte   // field 3
	Parent int32  // field 4
	Group  int32  // field 5
	Start  uint64 // field 22: in 1/USER_HZ s of CLOCK_BOOTTIME, as the reader's time namespace shows it
}

// ReadProcess reads a stat file of /proc. The path is a C string.
//
//go:norace
func ReadProcess(path *byte) (process Process, ok bool) {
	var buffer [1024]byte
	text, errno := ReadFile(path, buffer[:])
	// Field 2, the command's name in parentheses, can contain any byte.
	end := len(text) - 1
	for end >= 0 && text[end] != ')' {
		end--
	}
	if errno != 0 || end < 0 {
		return process, false
	}
	text = text[end+1:]
	for i := 3; i <= 22; i++ {
		var field string
		if field, text = Field(text); field == "" {
			return process, false
		}
		n, isNumber := Number(field, 10)
		ok = true
		switch i {
		case 3:
			process.State = field[0]
		case 4:
			process.Parent, ok = int32(n), isNumber
		case 5:
			process.Group, ok = int32(n), isNumber
		case 22:
			process.Start, ok = n, isNumber
		}
		if !ok {
			return process, false
		}
	}
	return process, true
}

// A StatPath is the path of a process's stat file, a C string.
type StatPath [32]byte

// Of returns the path for a process.
func (s *StatPath) Of(pid int32) *byte {
	path := In(s[:])
	path.Add("/proc/")
	path.AddNumber(uint64(max(pid, 0)), 10)
	path.Add("/stat")
	path.End()
	return &s[0]
}
