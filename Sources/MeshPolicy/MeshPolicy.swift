// MeshPolicy
