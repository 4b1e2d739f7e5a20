// MeshModel: the nouns of the mesh. Standard library only.
