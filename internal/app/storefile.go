package app

const storeFile = "waypost.db" // as sqlite names it
