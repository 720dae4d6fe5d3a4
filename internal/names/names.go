// Package names looks up the names of users and groups.
//
// poolrun is a static program without glibc's name service switch, nsswitch.conf(5). So this
// package reads /etc/passwd and /etc/group, and asks getent(1) for the rest: the users and groups
// of LDAP, SSSD or Active Directory.
package names

import (
	"context"
	"fmt"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"
)

// User is the user's name, or the number if the user has no name. It can take as long as getent(1)
// takes, up to patience. So it must not be called under a lock.
func User(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	if entry := ask("passwd", id); len(entry) > idField && entry[idField] == id {
		return entry[nameField]
	}
	return "uid " + id
}

// Group is the number of a group, which is given by name or, as in chgrp(1), by number.
func Group(name string) (gid int, err error) {
	if group, err := user.LookupGroup(name); err == nil {
		return strconv.Atoi(group.Gid)
	}
	id := name
	if _, err := parseID(name); err != nil {
		// The entry may spell the name differently: directories can ignore case.
		if entry := ask("group", name); len(entry) > idField {
			id = entry[idField]
		}
	}
	if gid, err = parseID(id); err != nil {
		return 0, fmt.Errorf("no group %q", name)
	}
	return gid, nil
}

// parseID parses a number of a group. 2^32-1 is none: chown(2) takes it for "no change".
func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// Fields that passwd(5) and group(5) have in common.
const (
	nameField = 0
	idField   = 2
)

// patience is how long getent may take. If a directory does not answer, a process waits for it
// once, not once for each name.
const patience = 2 * time.Second

var answers struct {
	sync.Mutex
	entries map[[2]string][]string
	silent  bool // getent did not answer in time
}

// ask returns the fields of a database's entry for a key, or nil. It asks once for each key.
func ask(database, key string) []string {
	answers.Lock()
	defer answers.Unlock()
	question := [2]string{database, key}
	entry, asked := answers.entries[question]
	if asked || answers.silent {
		return entry
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	entry = getent(ctx, database, key)
	answers.silent = ctx.Err() != nil
	if answers.entries == nil {
		answers.entries = map[[2]string][]string{}
	}
	answers.entries[question] = entry
	return entry
}

// getent runs getent(1). Only its output counts: if SIGCHLD is ignored, its exit status is lost
// (wait(2)).
func getent(ctx context.Context, database, key string) []string {
	if key == "" || strings.HasPrefix(key, "-") || strings.ContainsAny(key, ":\n\x00") {
		return nil // not a name; and a getent that is a shell script may not know "--"
	}
	cmd := exec.CommandContext(ctx, "getent", database, key)
	cmd.WaitDelay = patience // a child of it may keep the pipe open
	out, _ := cmd.Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if line == "" {
		return nil
	}
	return strings.Split(line, ":")
}
