package etcdtest

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/poolrun/poolrun/cluster/internal/keys"
)

// enableAuth gives the user Root its role, and turns authentication on.
func (c *Cluster) enableAuth() error {
	err := c.Members[0].ask(func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.RoleAdd(ctx, Root)
		if err == nil {
			_, err = client.UserAdd(ctx, Root, RootPassword)
		}
		if err == nil {
			_, err = client.UserGrantRole(ctx, Root, Root)
		}
		if err == nil {
			_, err = client.AuthEnable(ctx)
		}
		return err
	})
	c.authOn = err == nil
	return err
}

// AddUser adds a user that may read and write the keys of one pool, and its entry in the list of pools.
// The pool's name begins with a slash. The role has the user's name.
func (c *Cluster) AddUser(name, password, pool string) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	all, entry := keys.Of(pool).All(), keys.Entry(pool)
	_, err1 := c.client.UserAdd(ctx, name, password)
	_, err2 := c.client.RoleAdd(ctx, name)
	_, err3 := c.client.RoleGrantPermission(ctx, name, all, clientv3.GetPrefixRangeEnd(all), clientv3.PermissionType(clientv3.PermReadWrite))
	_, err4 := c.client.RoleGrantPermission(ctx, name, entry, "", clientv3.PermissionType(clientv3.PermReadWrite))
	_, err5 := c.client.UserGrantRole(ctx, name, name)
	return errors.Join(err1, err2, err3, err4, err5)
}
