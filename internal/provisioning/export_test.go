package provisioning

// ToSCIM is the translation under test.
var ToSCIM = toSCIM
