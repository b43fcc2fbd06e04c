package scim

type operation struct{}

func parseFilter(*ResourceType, string, *Dialect, bool) (*Filter, error)            { panic("pending") }
func matches(Expr, Attributes) bool                                                 { panic("pending") }
func patchFrom(*ResourceType, Attributes, *Dialect) (*Patch, error)                 { panic("pending") }
func apply(*ResourceType, Attributes, *Patch) (Result, error)                       { panic("pending") }
func create(*ResourceType, Attributes, *Dialect) (Result, error)                    { panic("pending") }
func replace(*ResourceType, Attributes, Attributes, *Dialect) (Result, error)       { panic("pending") }
func parseProjection(*ResourceType, []string, []string) (*Projection, error)        { panic("pending") }
func project(*Projection, Attributes, Attributes) Attributes                        { panic("pending") }
func wants(*Projection, string) bool                                                { panic("pending") }
