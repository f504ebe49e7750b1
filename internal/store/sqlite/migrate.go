package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// The schema, as numbered steps. A step that was released never changes; a change is a new step.
//
//go:embed migrations/*.sql
var migrations embed.FS

// steps returns the SQL of the steps in order; the first is number 1.
func steps() ([]string, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var list []string
	for i, name := range files { // Glob sorts
		if want := fmt.Sprintf("migrations/%04d_", i+1); len(name) < len(want) || name[:len(want)] != want {
			return nil, fmt.Errorf("migration %s is out of order: step %d is missing", name, i+1)
		}
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		list = append(list, string(text))
	}
	return list, nil
}

// migrate brings the schema up to date, each step in a transaction with its number.
func migrate(ctx context.Context, c *conn) error {
	list, err := steps()
	if err != nil {
		return err
	}
	text, err := c.one(`PRAGMA user_version`)
	if err != nil {
		return err
	}
	have, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	if have > len(list) {
		return tooNew(have, len(list))
	}
	for i := have; i < len(list); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := apply(c, i+1, list[i]); err != nil {
			return fmt.Errorf("migration %d: %w", i+1, err)
		}
	}
	return nil
}

func apply(c *conn, number int, sql string) error {
	if err := c.Exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	err := c.Exec(sql)
	if err == nil {
		err = c.Exec(fmt.Sprintf(`PRAGMA user_version = %d`, number))
	}
	if err == nil {
		c.at(AtMigration)
		err = c.Exec(`COMMIT`)
	}
	if err != nil && !c.GetAutocommit() {
		err = errors.Join(err, c.Exec(`ROLLBACK`))
	}
	return err
}
